// The versions of a recording's words: which is read, which people are shown, and what two of them
// differ in.
import { json } from "./api.js";
import { h, setText, toast } from "./dom.js";
import { clock, dateTime } from "./format.js";
import { hunksOf } from "./hunks.js";
import { operator } from "./operator.js";

const STATES = { running: "growing", failed: "given up" };

export class Versions {
  #feed;
  #base;
  #root;
  #seek;
  #items = [];
  #key = null;
  #may = false;

  /** `root` holds the parts of the page; `seek(ms)` plays from there. */
  constructor(root, feed, id, seek) {
    this.#root = root;
    this.#feed = feed;
    this.#seek = seek;
    this.#base = `/api/recordings/${encodeURIComponent(id)}/transcripts`;
    this.#part("version-back").addEventListener("click", () => this.#read(null));
    this.#part("version-promote").addEventListener("click", () => void this.#promote(this.#feed.picked));
    this.#part("diff-close").addEventListener("click", () => this.#part("diff").close());
    void operator.then(({ is }) => {
      this.#may = is;
      this.#show();
    });
  }

  #part(id) {
    return this.#root.getElementById(id);
  }

  /** The recording has changed, or other words are read. */
  async render(recording) {
    const key = JSON.stringify([recording.transcript?.version, recording.transcript?.state, recording.transcribing?.state]);
    if (key !== this.#key) {
      this.#key = key;
      try {
        this.#items = (await json(this.#base)).items;
      } catch {
        this.#key = null;
      }
    }
    this.#show();
  }

  #show() {
    const many = this.#items.length > 1;
    this.#part("versions-box").hidden = !many;
    setText(this.#part("version-count"), String(this.#items.length));
    const focused = document.activeElement?.dataset?.at;
    this.#part("versions").replaceChildren(...this.#items.toReversed().map((item) => this.#entry(item)));
    if (focused) this.#part("versions").querySelector(`[data-at="${focused}"]`)?.focus();
    const read = this.#items.find((item) => item.version === this.#feed.picked);
    const note = this.#part("version-note");
    note.hidden = !read || read.promoted;
    if (note.hidden) return;
    const what = read.state === "complete" ? "" : ` It is ${STATES[read.state]}.`;
    setText(this.#part("version-text"), `You are reading version ${read.version}. Others are shown another one.${what}`);
    this.#part("version-promote").hidden = !this.#may || read.state !== "complete";
  }

  #entry(item) {
    const { version, state, promoted, weights } = item;
    const reading = version === (this.#feed.picked ?? this.#items.find((each) => each.promoted)?.version);
    const made = version === 0 ? "made while live" : weights;
    const about = [made, dateTime(item.completed_at ?? item.created_at), STATES[state]].filter(Boolean).join(" · ");
    const open = h(
      "button",
      { type: "button", class: "version", "aria-current": reading && "true", "data-at": `read-${version}` },
      h("span", { class: "version-name" }, `Version ${version}`, promoted ? h("span", { class: "badge shown" }, "Shown") : null),
      h("span", { class: "version-about" }, about),
    );
    open.addEventListener("click", () => this.#read(promoted ? null : version));
    return h("li", {}, open, this.#actions(item));
  }

  #actions({ version, state, promoted }) {
    const before = this.#items.findLast((item) => item.version < version && item.state !== "failed");
    const buttons = [];
    if (before) {
      const compare = h("button", { type: "button", class: "text-button", "data-at": `diff-${version}` }, `Compare with ${before.version}`);
      compare.addEventListener("click", () => void this.#compare(before.version, version));
      buttons.push(compare);
    }
    if (this.#may && !promoted && state === "complete") {
      const show = h("button", { type: "button", class: "text-button", "data-at": `show-${version}`, "aria-label": `Show version ${version} to everyone` }, "Show to everyone");
      show.addEventListener("click", () => void this.#promote(version));
      buttons.push(show);
    }
    return buttons.length > 0 ? h("div", { class: "version-actions" }, ...buttons) : null;
  }

  #read(version) {
    this.#feed.pick(version);
    this.#show();
  }

  async #promote(version) {
    try {
      await json(`${this.#base}/${version}/promote`, { method: "POST" });
      for (const item of this.#items) item.promoted = item.version === version;
      toast(`Version ${version} is shown now`);
      this.#read(null);
    } catch (problem) {
      toast(problem.message);
    }
  }

  async #compare(from, to) {
    try {
      const diff = await json(`${this.#base}/diff?from=${from}&to=${to}`);
      this.#part("diff-body").replaceChildren(...this.#differences(diff));
      setText(this.#part("diff-title"), `Version ${from} and version ${to}`);
      this.#part("diff").showModal();
    } catch (problem) {
      toast(problem.message);
    }
  }

  #differences({ from, to, equal, removed, added, runs }) {
    const legend = h("p", { class: "diff-sum" }, `${equal} words are the same, `, h("del", {}, `${removed} only in version ${from}`), ", ", h("ins", {}, `${added} only in version ${to}`), ".");
    if (removed + added === 0) return [h("p", {}, `Both say the same, in ${equal} words.`)];
    const hunks = hunksOf(runs).map(({ start_ms, parts }) => {
      const time = h("button", { type: "button", class: "time", "aria-label": `Play from ${clock(start_ms)}` }, clock(start_ms));
      time.addEventListener("click", () => {
        this.#part("diff").close();
        this.#seek(start_ms);
      });
      return h("li", {}, time, h("p", {}, ...parts.flatMap((part) => [element(part), " "])));
    });
    return [legend, h("ol", { class: "diff-list" }, ...hunks)];
  }
}

const TAGS = { equal: "span", removed: "del", added: "ins" };
const element = ({ kind, text }) => h(TAGS[kind], {}, text);
