// Words and speakers' names corrected where they stand, by the operator: chosen, written, sent,
// undone. What somebody has typed stays when the words round it are read anew.
import { json } from "./api.js";
import { announce, setText, toast } from "./dom.js";
import { Editor } from "./editor.js";
import { operator } from "./operator.js";

export class Corrections {
  #root;
  #view;
  #feed;
  #base;
  #hooks;
  #toggle;
  #may = false;
  // What is being corrected: `{subject, start_ms, end_ms, label, replaced, editor}`.
  #open = null;
  // The word or the speaker that gets the focus once the words have been read anew.
  #after = null;
  // Numbers of the edits made on this page, the last one last.
  #made = [];

  /** `hooks.opened()`: somebody begins to write; `hooks.hear(ms)`: they want to hear it. */
  constructor(root, view, feed, id, hooks) {
    this.#root = root;
    this.#view = view;
    this.#feed = feed;
    this.#base = `/api/recordings/${encodeURIComponent(id)}/edits`;
    this.#hooks = hooks;
    this.#toggle = root.querySelector("#edit-toggle");
    this.#toggle.addEventListener("click", () => this.toggle());
    root.querySelector("#edit-done").addEventListener("click", () => this.toggle());
    root.querySelector("#edit-undo").addEventListener("click", () => void this.#undoLast());
    view.addEventListener("pick", (event) => this.#pick(event.detail));
    view.addEventListener("click", (event) => this.#nameClicked(event));
    view.addEventListener("keydown", (event) => this.#nameKey(event));
    addEventListener("keydown", (event) => this.#key(event));
    void operator.then(({ is }) => {
      this.#may = is;
      this.render();
    });
  }

  /** Whether words are being corrected. */
  get on() {
    return this.#view.editing;
  }

  render() {
    const can = this.#may && this.#view.words.length > 0;
    this.#toggle.hidden = !can;
    this.#toggle.setAttribute("aria-pressed", String(this.on));
    const note = this.#root.querySelector("#edit-note");
    note.hidden = !this.on;
    this.#root.querySelector("#edit-undo").disabled = this.#made.length === 0;
    for (const name of this.#view.querySelectorAll(".speaker")) this.#renderName(name);
  }

  #renderName(name) {
    for (const [key, value] of Object.entries({ role: "button", tabindex: "0", "aria-label": `${name.textContent}, rename` })) {
      if (this.on && !name.querySelector(".editor")) name.setAttribute(key, value);
      else name.removeAttribute(key);
    }
  }

  /** Begins to correct words, or ends it. */
  toggle() {
    if (!this.#may || this.#view.words.length === 0) return;
    this.#close();
    this.#view.editing = !this.on;
    announce(this.on ? "Correcting words. Enter on a word corrects it." : "Words play again.");
    this.render();
  }

  /** The words have been read anew: what was being written goes on. */
  refreshed() {
    this.render();
    const open = this.#open;
    if (open && !open.editor.element.isConnected) this.#reopen(open);
    else if (!open && this.#after) {
      const { start_ms } = this.#after;
      this.#after = null;
      this.#view.focusWord(Math.max(0, this.#view.words.begunAt(start_ms)));
    }
  }

  // Words ---------------------------------------------------------------------------------------

  #pick({ first, last }) {
    this.#close();
    const { words } = this.#view;
    const what = { start_ms: words.start(first), end_ms: words.end(last), replaced: words.text(first, last) };
    this.#write(what, { first, last });
  }

  // Opens the field in place of the words.
  #write(what, { first, last }, typed = null) {
    const { words } = this.#view;
    const number = words.edit(last);
    const edit = this.#feed.transcript?.edits.find((each) => each.number === number);
    const subject = {
      text: what.replaced,
      label: first === last ? `Correct “${what.replaced}”` : `Correct ${last - first + 1} words`,
      edit,
      canRemove: true,
      canListen: true,
    };
    const editor = new Editor(subject, {
      save: (text) => void this.#save(text),
      cancel: () => this.#cancel(),
      undo: () => void this.#undo(edit.number),
      keep: () => void this.#save(words.text(first, last), true),
      listen: () => this.#hooks.hear(what.start_ms),
    });
    const spans = [];
    for (let i = first; i <= last; i += 1) spans.push(this.#view.wordElement(i));
    for (const span of spans) span.classList.add("under-editor");
    spans[0].before(editor.element);
    this.#show({ ...what, editor, spans }, typed);
  }

  #show(open, typed) {
    this.#open = open;
    this.#hooks.opened();
    if (typed !== null) open.editor.text = typed;
    open.editor.focus();
    this.render();
  }

  // The words round the field are other elements now, and perhaps other words.
  #reopen(open) {
    this.#open = null;
    const typed = open.editor.text;
    if (open.label !== undefined) {
      const name = this.#view.querySelector(`.speaker[data-label="${CSS.escape(open.label)}"]`);
      if (name) this.#rename(name, typed);
      return;
    }
    const { words } = this.#view;
    const index = Math.max(0, words.begunAt(open.start_ms));
    const there = words.between(open.start_ms, open.end_ms) ?? { first: index, last: index };
    const replaced = words.text(there.first, there.last);
    const what = { start_ms: words.start(there.first), end_ms: words.end(there.last), replaced };
    this.#write(what, there, typed);
    if (replaced !== open.replaced) {
      this.#open.editor.say(`It says “${replaced}” here now. Save again to replace that.`);
    }
  }

  // Speakers ------------------------------------------------------------------------------------

  #nameClicked(event) {
    const name = event.target.closest(".speaker");
    if (this.on && name && !event.target.closest(".editor")) this.#rename(name);
  }

  #nameKey(event) {
    if (!this.on || !event.target.matches(".speaker") || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    this.#rename(event.target);
  }

  #rename(name, typed = null) {
    this.#close();
    const { label } = name.dataset;
    const replaced = name.textContent;
    const edit = this.#feed.transcript?.edits.findLast((each) => each.speaker === label);
    const subject = { text: replaced, label: `Rename ${replaced} in the whole recording`, edit };
    const editor = new Editor(subject, {
      save: (text) => void this.#save(text),
      cancel: () => this.#cancel(),
      undo: () => void this.#undo(edit.number),
    });
    name.replaceChildren(editor.element);
    this.#show({ label, replaced, editor, name }, typed);
  }

  // Sending -------------------------------------------------------------------------------------

  async #save(text, keep = false) {
    const open = this.#open;
    if (!open) return;
    if (text === open.replaced && !keep) return this.#cancel();
    const { label, start_ms, end_ms, replaced } = open;
    const subject = label === undefined ? { start_ms, end_ms } : { speaker: label };
    const picked = this.#feed.picked;
    const body = { ...subject, replaced, text, ...(picked === null || label !== undefined ? {} : { version: picked }) };
    open.editor.busy = true;
    try {
      const edit = await json(this.#base, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      this.#made.push(edit.number);
      this.#finish(open, text === "" ? "Taken out" : "Corrected");
    } catch (problem) {
      open.editor.busy = false;
      open.editor.say(problem.message);
      announce(problem.message);
      // What is there now is read, and the field stays open over it.
      if (problem.code === "words_changed") this.#feed.nudge();
    }
  }

  /** Undoes an edit. */
  async #undo(number) {
    const open = this.#open;
    try {
      await json(`${this.#base}/${number}`, { method: "DELETE" });
      this.#made = this.#made.filter((each) => each !== number);
      this.#finish(open, "Correction undone");
    } catch (problem) {
      if (open) open.editor.say(problem.message);
      toast(problem.message);
      this.#feed.nudge();
    }
  }

  async #undoLast() {
    const last = this.#made.at(-1);
    if (last === undefined) return;
    // It may be undone already, elsewhere: then the one before is the last.
    this.#made.pop();
    await this.#undo(last);
    this.render();
  }

  #finish(open, what) {
    this.#after = open?.start_ms === undefined ? null : { start_ms: open.start_ms };
    this.#open = null;
    toast(what);
    this.render();
    this.#feed.nudge();
  }

  #cancel() {
    const { start_ms } = this.#open ?? {};
    this.#close();
    if (start_ms !== undefined) this.#view.focusWord(Math.max(0, this.#view.words.begunAt(start_ms)));
  }

  #close() {
    const open = this.#open;
    this.#open = null;
    if (!open) return;
    for (const span of open.spans ?? []) span.classList.remove("under-editor");
    if (open.name) open.name.textContent = open.replaced;
    open.editor.element.remove();
    this.render();
  }

  #key(event) {
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!undo || !this.on || event.target.closest("input, textarea")) return;
    event.preventDefault();
    void this.#undoLast();
  }
}
