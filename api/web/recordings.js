// <rt-recordings>: recordings as rows under headings by day. Rows stay the same elements while
// their recordings change, so that nobody loses their place.
import { h, icon, setText } from "./dom.js";
import { clock, dateTime, dayName, daysBetween, fullDateTime, timeOfDay } from "./format.js";
import { badge, isOpen, origin, transcriptState } from "./words-for.js";

class Recordings extends HTMLElement {
  #rows = new Map();
  #groups = new Map();

  /** Shows `recordings`, newest first. */
  show(recordings, now) {
    const groups = grouped(recordings, now);
    const sections = groups.map(({ name, items }) => this.#group(name, items, now));
    arrange(this, sections);
    const kept = new Set(recordings.map((recording) => recording.id));
    for (const id of this.#rows.keys()) if (!kept.has(id)) this.#rows.delete(id);
    for (const name of this.#groups.keys()) {
      if (!groups.some((group) => group.name === name)) this.#groups.delete(name);
    }
  }

  #group(name, items, now) {
    let section = this.#groups.get(name);
    if (!section) {
      const id = `day-${this.#nextId()}`;
      section = h("section", { "aria-labelledby": id }, h("h2", { id }, name), h("ul", { class: "rows" }));
      this.#groups.set(name, section);
    }
    arrange(section.querySelector("ul"), items.map((item) => this.#row(item, now)));
    return section;
  }

  #count = 0;

  #nextId() {
    this.#count += 1;
    return this.#count;
  }

  #row(recording, now) {
    const row = this.#rows.get(recording.id) ?? newRow(recording.id);
    this.#rows.set(recording.id, row);
    fill(row, recording, now);
    return row;
  }
}

/** Makes `children` the children of `parent` and moves only what must move. */
function arrange(parent, children) {
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

/** `[{name, items}]`: what is live first, then by day. */
function grouped(recordings, now) {
  const groups = new Map();
  for (const recording of recordings) {
    const live = ["live", "paused"].includes(recording.state);
    const name = live ? "Live now" : dayName(recording.created_at, now);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(recording);
  }
  const list = [...groups].map(([name, items]) => ({ name, items }));
  return list.sort((a, b) => (b.name === "Live now") - (a.name === "Live now"));
}

function newRow(id) {
  const part = (tag, name, attributes = {}) => h(tag, { class: name, ...attributes });
  return h(
    "li",
    { class: "row" },
    h("span", { class: "row-play", "aria-hidden": "true" }, icon("play")),
    h(
      "div",
      { class: "row-main" },
      h("h3", {}, h("a", { href: `/recordings/${encodeURIComponent(id)}` })),
      h("p", { class: "row-about" }, part("span", "badge"), part("span", "row-room"), part("time", "row-when")),
    ),
    h(
      "div",
      { class: "row-end" },
      part("span", "row-length"),
      part("span", "row-words"),
      h("progress", { max: 100, "aria-label": "Transcription" }),
    ),
  );
}

function fill(row, recording, now) {
  const part = (name) => row.querySelector(name);
  row.dataset.state = recording.state;
  setText(part("h3 a"), recording.title);
  const shown = badge(recording);
  part(".badge").hidden = shown === null;
  part(".badge").className = `badge ${shown?.kind ?? ""}`;
  setText(part(".badge"), shown?.text ?? "");
  const { title, host } = recording.room;
  const from = recording.origin === "import" ? origin(recording.origin) : null;
  setText(part(".row-room"), [title, host, from].filter(Boolean).join(" · "));
  when(part(".row-when"), recording, now);
  length(part(".row-length"), recording);
  words(row, recording);
}

function when(element, recording, now) {
  const at = recording.started_at ?? recording.created_at;
  const recent = daysBetween(new Date(at), now) < 2;
  element.dateTime = at;
  element.title = fullDateTime(at);
  setText(element, recent ? timeOfDay(at) : dateTime(at));
}

function length(element, recording) {
  const known = recording.duration_ms > 0;
  setText(element, known ? clock(recording.duration_ms) : "");
  element.title = isOpen(recording) ? "so far" : "";
}

function words(row, recording) {
  const { text, share, ready } = transcriptState(recording);
  const label = row.querySelector(".row-words");
  setText(label, text);
  label.classList.toggle("ready", Boolean(ready));
  const bar = row.querySelector("progress");
  bar.hidden = share === undefined || share === null;
  if (!bar.hidden) bar.value = share;
}

customElements.define("rt-recordings", Recordings);
