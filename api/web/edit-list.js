// The list of corrections beside the words, and what to do where a version says something else than
// a correction does: keep it, or take what the version says.
import { json } from "./api.js";
import { h, setText, toast } from "./dom.js";
import { clock } from "./format.js";
import { operator } from "./operator.js";

export class EditList {
  #root;
  #feed;
  #base;
  #hooks;
  #may = false;
  #known = null;

  /** `hooks.go(ms)` shows what is said at `ms`. */
  constructor(root, feed, id, hooks) {
    this.#root = root;
    this.#feed = feed;
    this.#hooks = hooks;
    this.#base = `/api/recordings/${encodeURIComponent(id)}/edits`;
    this.#part("conflict-next").addEventListener("click", () => this.#next());
    void operator.then(({ is }) => {
      this.#may = is;
      this.#known = null;
      this.render();
    });
  }

  #part(id) {
    return this.#root.getElementById(id);
  }

  get #edits() {
    return this.#feed.transcript?.edits ?? [];
  }

  render() {
    const known = JSON.stringify(this.#edits);
    if (known === this.#known) return;
    this.#known = known;
    const edits = this.#edits;
    this.#part("edits-box").hidden = !this.#may || edits.length === 0;
    setText(this.#part("edit-count"), String(edits.length));
    this.#part("edits").replaceChildren(...edits.toReversed().map((edit) => this.#entry(edit)));
    const count = edits.filter((edit) => edit.conflict !== undefined).length;
    this.#part("conflict-note").hidden = !this.#may || count === 0;
    const text = count === 1 ? "This version disagrees with 1 correction." : `This version disagrees with ${count} corrections.`;
    setText(this.#part("conflict-text"), `${text} Corrections are shown all the same.`);
  }

  #entry(edit) {
    const at = edit.speaker === null ? clock(edit.start_ms) : "Name";
    const now = edit.text === "" ? h("em", {}, "taken out") : h("ins", {}, edit.text);
    const change = h("span", { class: "edit-change" }, edit.replaced ? h("del", {}, edit.replaced) : "", " ", now);
    const actions = h("div", { class: "version-actions" });
    if (edit.conflict !== undefined) {
      const says = edit.conflict === "" ? "nothing here" : `“${edit.conflict}”`;
      actions.append(h("p", { class: "edit-conflict" }, `This version says ${says}`));
      actions.append(this.#button("Keep", edit, () => this.#keep(edit)));
    }
    const undo = edit.conflict === undefined ? "Undo" : "Take the version’s";
    actions.append(this.#button(undo, edit, () => json(`${this.#base}/${edit.number}`, { method: "DELETE" })));
    const head = h(edit.speaker === null ? "button" : "div", { type: edit.speaker === null && "button", class: "edit-item" }, h("span", { class: "gap-time" }, at), change);
    if (edit.speaker === null) head.addEventListener("click", () => this.#hooks.go(edit.start_ms));
    return h("li", { class: edit.conflict === undefined ? null : "in-conflict" }, head, actions);
  }

  #button(text, edit, act) {
    const button = h("button", { type: "button", class: "text-button", "aria-label": `${text}: ${edit.text || edit.replaced}` }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await act();
      } catch (problem) {
        toast(problem.message);
      }
      button.disabled = false;
      this.#feed.nudge();
    });
    return button;
  }

  // The same correction made again, on this version: then it is decided.
  #keep({ start_ms, end_ms, text }) {
    const picked = this.#feed.picked;
    const body = { start_ms, end_ms, replaced: text, text, ...(picked === null ? {} : { version: picked }) };
    return json(this.#base, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  // The next correction in conflict after the one shown last, in the order of time.
  #next() {
    const times = this.#edits.filter((edit) => edit.conflict !== undefined).map((edit) => edit.start_ms);
    times.sort((a, b) => a - b);
    this.at = times.find((ms) => ms > (this.at ?? -1)) ?? times[0];
    if (this.at !== undefined) this.#hooks.go(this.at);
  }
}
