// Find in the transcript: over the words themselves, not over what happens to be on the page.
import { lastAtOrBefore } from "./words.js";

const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");

/** All words in one folded string, with the place where each begins. */
class Haystack {
  #offsets = [];
  #text = "";
  #parts = [];
  #length = 0;

  extend(words) {
    for (let i = this.#offsets.length; i < words.length; i += 1) {
      const folded = `${fold(words.texts[i])} `;
      this.#offsets.push(this.#length);
      this.#parts.push(folded);
      this.#length += folded.length;
    }
    this.#text = this.#parts.join("");
  }

  /** Runs of words that hold `needle`: `{first, last}`, two lists of the same length. */
  search(needle) {
    const found = { first: [], last: [] };
    if (needle === "") return found;
    let at = this.#text.indexOf(needle);
    while (at >= 0) {
      found.first.push(this.#wordAt(at));
      found.last.push(this.#wordAt(at + needle.length - 1));
      at = this.#text.indexOf(needle, at + needle.length);
    }
    return found;
  }

  #wordAt(offset) {
    return lastAtOrBefore(this.#offsets, this.#offsets.length, offset);
  }
}

export class Find {
  #field;
  #count;
  #view;
  #hooks;
  #haystack = new Haystack();
  #hits = { first: [], last: [], current: -1 };
  #buttons;
  #box;

  /**
   * `box` holds the field, the count and the buttons; `view` is the transcript. `hooks.found(times)`
   * is told of every hit, `hooks.shown()` that the page has moved to one, `hooks.position()` gives
   * the play position.
   */
  constructor(box, view, hooks) {
    this.#box = box;
    this.#view = view;
    this.#hooks = hooks;
    this.#field = box.querySelector("input");
    this.#count = box.querySelector(".find-count");
    this.#buttons = [...box.querySelectorAll("button[data-by]")];
    this.#field.addEventListener("input", () => this.#search(true));
    box.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#step(1);
    });
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    for (const button of this.#buttons) {
      button.addEventListener("click", () => this.#step(Number(button.dataset.by)));
    }
  }

  focus() {
    this.#field.focus();
    this.#field.select();
  }

  /** Another transcript is shown. */
  reset() {
    this.#haystack = new Haystack();
    this.update();
  }

  /** The transcript has grown. */
  update() {
    if (this.#field.value.trim() !== "") this.#search(false);
  }

  #key(event) {
    if (event.key === "Escape") {
      this.#field.value = "";
      this.#search(false);
      this.#field.blur();
    } else if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      this.#step(-1);
    }
  }

  #search(move) {
    const needle = fold(this.#field.value.trim().replace(/\s+/g, " "));
    this.#haystack.extend(this.#view.words);
    const found = this.#haystack.search(needle);
    const current = move ? this.#nextFrom(found) : Math.min(this.#hits.current, found.first.length - 1);
    this.#hits = { ...found, current };
    this.#paint();
    this.#hooks.found(found.first.map((word) => this.#view.words.start(word)));
    if (move && current >= 0) this.#reveal();
  }

  // The first hit from the play position on.
  #nextFrom(found) {
    if (found.first.length === 0) return -1;
    const here = this.#view.words.begunAt(this.#hooks.position());
    const next = found.first.findIndex((word) => word >= here);
    return next < 0 ? 0 : next;
  }

  #step(by) {
    const count = this.#hits.first.length;
    if (count === 0) return;
    this.#hits.current = (this.#hits.current + by + count) % count;
    this.#paint();
    this.#reveal();
  }

  #paint() {
    const { first, current } = this.#hits;
    const asked = this.#field.value.trim() !== "";
    this.#box.classList.toggle("asked", asked);
    this.#count.textContent = !asked ? "" : first.length === 0 ? "None" : `${current + 1} of ${first.length}`;
    for (const button of this.#buttons) button.disabled = first.length === 0;
    this.#view.showHits(this.#hits);
  }

  #reveal() {
    this.#hooks.shown();
    const word = this.#hits.first[this.#hits.current];
    const show = () => this.#view.wordElement(word).scrollIntoView({ block: "center", behavior: "instant" });
    show();
    // Once more when the paragraphs there have their real heights.
    requestAnimationFrame(show);
  }
}
