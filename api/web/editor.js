// The field in which words are corrected, in the place of the words themselves, with what is known
// of them below. It only asks: `hooks.save(text)`, `hooks.cancel()`, `hooks.listen()` and, where there
// is an edit, `hooks.undo()` and `hooks.keep()`.
import { h } from "./dom.js";

const button = (text, attributes, act) => {
  const made = h("button", { type: "button", class: "button small", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
};

export class Editor {
  element;
  #field;
  #note;
  #buttons;

  /**
   * `subject`: `{text, label, edit, canRemove, canListen}`: what is there, what it is called, the edit it
   * comes from (or nothing).
   */
  constructor(subject, hooks) {
    this.#field = h("input", { type: "text", class: "editor-field", "aria-label": subject.label, autocomplete: "off", spellcheck: "true", size: Math.max(4, subject.text.length + 1) });
    this.#field.value = subject.text;
    this.#note = h("span", { class: "editor-note", role: "status" });
    const disagrees = subject.edit?.conflict !== undefined;
    this.#buttons = [
      button("Save", { class: "button small solid" }, () => hooks.save(this.text)),
      disagrees ? button("Keep it", { title: "The correction is right" }, hooks.keep) : null,
      disagrees ? button("Take the version’s", {}, hooks.undo) : null,
      subject.edit && !disagrees ? button("Undo correction", {}, hooks.undo) : null,
      subject.canRemove ? button("Take out", { title: "Show nothing here" }, () => hooks.save("")) : null,
      subject.canListen ? button("Listen", {}, hooks.listen) : null,
      button("Cancel", {}, hooks.cancel),
    ].filter(Boolean);
    const about = subject.edit ? [aboutEdit(subject.edit)] : [];
    const panel = h("span", { class: "editor-panel" }, ...about, this.#note, h("span", { class: "editor-buttons" }, ...this.#buttons));
    this.element = h("span", { class: "editor", role: "group", "aria-label": subject.label }, this.#field, panel);
    this.#field.addEventListener("input", () => (this.#field.size = Math.max(4, this.#field.value.length + 1)));
    this.element.addEventListener("keydown", (event) => this.#key(event, hooks));
  }

  get text() {
    return this.#field.value.trim().replace(/\s+/g, " ");
  }

  set text(value) {
    this.#field.value = value;
    this.#field.dispatchEvent(new Event("input"));
  }

  /** Says something below the field. */
  say(text) {
    this.#note.textContent = text;
  }

  set busy(on) {
    for (const each of this.#buttons) each.disabled = on;
    this.#field.readOnly = on;
  }

  /** Puts the cursor in, and the panel where all of it can be seen. */
  focus() {
    this.#field.focus({ preventScroll: true });
    this.#field.select();
    const panel = this.element.querySelector(".editor-panel");
    panel.style.left = "0px";
    const { left, right } = panel.getBoundingClientRect();
    const room = document.documentElement.clientWidth - 12;
    if (right > room) panel.style.left = `${Math.max(12 - left, room - right)}px`;
    panel.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  #key(event, hooks) {
    event.stopPropagation();
    if (event.target !== this.#field && event.key !== "Escape") return;
    if (event.key === "Enter" && !event.isComposing) hooks.save(this.text);
    else if (event.key === "Escape") hooks.cancel();
    else return;
    event.preventDefault();
  }
}

function aboutEdit(edit) {
  const was = h("span", {}, "Corrected, was ", h("q", {}, edit.replaced));
  if (edit.conflict === undefined) return h("span", { class: "editor-about" }, was);
  const says = edit.conflict === "" ? ["This version says nothing here."] : ["This version says ", h("q", {}, edit.conflict), "."];
  return h("span", { class: "editor-about" }, was, h("strong", { class: "editor-conflict" }, ...says));
}
