// <rt-transcript>: the words, paragraph by paragraph. A ten-hour recording has ninety thousand of
// them, so a paragraph is plain text until it comes near the screen and only then becomes word
// elements; one listener serves them all. Fires `seek` with `detail` in ms and, while words are being
// corrected, `pick` with `detail: {first, last}`, words that somebody wants to correct.
import { h } from "./dom.js";
import { clock, spoken } from "./format.js";
import { Paragraphs } from "./paragraphs.js";
import { Words, lastAtOrBefore } from "./words.js";
import { cause, gapLength, reason } from "./words-for.js";

class Transcript extends HTMLElement {
  words = new Words();
  /** How many segments are hidden. */
  hiddenCount = 0;
  #paragraphs = new Paragraphs([]);
  #blocks = [];
  #firsts = [];
  #speech = [];
  #lit = null;
  #now = null;
  #roving = null;
  #hits = { first: [], last: [], current: -1 };
  #edits = new Map();
  #editing = false;
  // Words chosen by keys, from where it began to where it is.
  #chosen = null;
  #near = new IntersectionObserver((entries) => this.#approach(entries), { rootMargin: "1200px 0px" });

  connectedCallback() {
    this.addEventListener("click", (event) => this.#click(event));
    this.addEventListener("keydown", (event) => this.#key(event));
    this.addEventListener("focusin", (event) => this.#focused(event));
  }

  /** Whether a click or a key is to correct words rather than to play from them. */
  get editing() {
    return this.#editing;
  }

  set editing(on) {
    this.#editing = on;
    this.classList.toggle("editing", on);
    this.#choose(null);
  }

  /** Begins anew, for a recording with these gaps and edits. */
  reset(gaps, edits = []) {
    this.#edits = new Map(edits.map((edit) => [edit.number, edit]));
    this.#chosen = null;
    this.words = new Words();
    this.hiddenCount = 0;
    this.#paragraphs = new Paragraphs(gaps);
    this.#near.disconnect();
    this.#blocks = [];
    this.#firsts = [];
    this.#speech = [];
    this.#lit = this.#now = this.#roving = null;
    this.replaceChildren();
  }

  /** Adds segments at the end; `through_ms` is where the audio worked through so far ends. */
  add(segments, through_ms) {
    this.hiddenCount += segments.filter((segment) => segment.suppressed).length;
    const from = this.#paragraphs.append(segments, this.words);
    this.#paragraphs.finish(through_ms);
    this.#build(from);
  }

  // Makes the paragraphs from index `from` on, which are new or have grown.
  #build(from) {
    const place = this.#clear(from);
    const perLine = Math.max(24, (this.clientWidth - 88) / 9);
    const fragment = document.createDocumentFragment();
    for (const paragraph of this.#paragraphs.list.slice(from)) {
      const block = { paragraph, element: null, text: null, spans: null };
      block.element = this.#element(block, perLine);
      this.#blocks.push(block);
      fragment.append(block.element);
      if (paragraph.kind === "speech") this.#near.observe(block.element);
    }
    this.appendChild(fragment);
    this.#speech = this.#blocks.filter((block) => block.paragraph.kind === "speech");
    this.#firsts = this.#speech.map((block) => block.paragraph.first);
    this.#lit = this.#now = null;
    if (!this.#roving && this.words.length > 0) this.#rove(place?.word ?? 0, place?.focused ?? false);
  }

  // Takes away the paragraphs from index `from` on; gives the word in the tab order that was there.
  #clear(from) {
    let place = null;
    for (const block of this.#blocks.splice(from)) {
      this.#near.unobserve(block.element);
      if (this.#roving && block.element.contains(this.#roving)) {
        place = { word: this.#roving.word, focused: document.activeElement === this.#roving };
        this.#roving = null;
      }
      block.element.remove();
    }
    return place;
  }

  #element(block, perLine) {
    const { paragraph } = block;
    if (paragraph.kind === "gap") return gapLine(paragraph.gap);
    if (paragraph.kind === "hidden") return hiddenLine(paragraph.segment);
    block.text = h("p", { class: "said" }, this.#plain(paragraph));
    const element = h(
      "div",
      { class: "paragraph" },
      timeLink(paragraph.start_ms),
      paragraph.speaker ? h("p", { class: "speaker", "data-label": paragraph.label }, paragraph.speaker) : null,
      block.text,
    );
    const lines = Math.ceil(block.text.textContent.length / perLine);
    element.style.containIntrinsicSize = `auto ${lines * 31 + 24 + (paragraph.speaker ? 26 : 0)}px`;
    element.block = block;
    return element;
  }

  #plain({ first, count }) {
    return this.words.texts.slice(first, first + count).join(" ");
  }

  #approach(entries) {
    for (const entry of entries) {
      if (entry.isIntersecting && entry.target.block) this.#hydrate(entry.target.block);
    }
  }

  // Plain text becomes word elements, which look and measure the same.
  #hydrate(block) {
    if (block.spans) return;
    this.#near.unobserve(block.element);
    const { first, count } = block.paragraph;
    block.spans = [];
    const nodes = [];
    for (let i = first; i < first + count; i += 1) {
      const span = h("span", { class: "word" }, this.words.texts[i]);
      span.word = i;
      this.#markEdit(span);
      block.spans.push(span);
      nodes.push(span, " ");
    }
    block.text.replaceChildren(...nodes);
    this.#paintHits(block);
  }

  // A word that a person wrote, and whether the version says something else.
  #markEdit(span) {
    const edit = this.#edits.get(this.words.edit(span.word));
    if (!edit) return;
    span.classList.add("edited");
    span.title = `Corrected: was “${edit.replaced}”`;
    if (edit.conflict === undefined) return;
    span.classList.add("conflict");
    span.title += edit.conflict ? `. This version says “${edit.conflict}”` : ". This version says nothing here";
  }

  // The block and element of a word, made if need be.
  #locate(index) {
    const block = this.#speech[lastAtOrBefore(this.#firsts, this.#firsts.length, index)];
    this.#hydrate(block);
    return { block, span: block.spans[index - block.paragraph.first] };
  }

  /** The element of word `index`. */
  wordElement(index) {
    return this.#locate(index).span;
  }

  /** Lights the word said at `ms`; gives the element the reader should see, or `null`. */
  light(ms) {
    const begun = this.words.begunAt(ms);
    const said = begun >= 0 && this.words.at(ms) === begun;
    const place = begun >= 0 ? this.#locate(begun) : null;
    const lit = said ? place.span : null;
    if (lit !== this.#lit) {
      this.#lit?.classList.remove("lit");
      lit?.classList.add("lit");
      this.#lit = lit;
    }
    const now = place?.block.element ?? null;
    if (now !== this.#now) {
      this.#now?.classList.remove("now");
      now?.classList.add("now");
      this.#now = now;
    }
    return place?.span ?? null;
  }

  // Seeking by click and by key ------------------------------------------------------------------

  #seek(ms) {
    this.dispatchEvent(new CustomEvent("seek", { detail: ms }));
  }

  #pick(first, last) {
    this.#choose(null);
    this.dispatchEvent(new CustomEvent("pick", { detail: { first, last } }));
  }

  // Marks the words that keys have chosen.
  #choose(range) {
    for (const span of this.querySelectorAll(".word.chosen")) span.classList.remove("chosen");
    this.#chosen = range;
    if (!range) return;
    const [first, last] = [range.from, range.to].sort((a, b) => a - b);
    for (let i = first; i <= last; i += 1) this.#locate(i).span.classList.add("chosen");
  }

  // The words that are selected at least in part.
  #selected() {
    const selection = getSelection();
    if (selection.isCollapsed || !this.contains(selection.anchorNode)) return null;
    const range = selection.getRangeAt(0);
    const inside = [...this.querySelectorAll(".word")].filter((span) => {
      const text = span.firstChild;
      if (!text || !range.intersectsNode(text)) return false;
      const before = range.endContainer === text && range.endOffset === 0;
      const after = range.startContainer === text && range.startOffset === text.length;
      return !before && !after;
    });
    return inside.length > 0 ? { first: inside[0].word, last: inside.at(-1).word } : null;
  }

  #click(event) {
    if (event.target.closest(".editor")) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const selected = this.#editing ? this.#selected() : null;
    if (selected) {
      getSelection().removeAllRanges();
      this.#pick(selected.first, selected.last);
      return;
    }
    const link = event.target.closest("a.time");
    if (link) {
      event.preventDefault();
      this.#seek(Number(link.dataset.ms));
      return;
    }
    const word = event.target.closest(".word");
    // Someone who has just selected text wants to copy it.
    if (!word || !getSelection().isCollapsed) return;
    this.#rove(word.word, false);
    if (this.#editing) this.#pick(word.word, word.word);
    else this.#seek(this.words.start(word.word));
  }

  /** Puts word `index` into the tab order, and the focus on it. */
  focusWord(index) {
    if (this.words.length > 0) this.#rove(index, true);
  }

  // One word is in the tab order; arrow keys move along the words from there.
  #rove(index, focus) {
    const { span } = this.#locate(Math.min(Math.max(0, index), this.words.length - 1));
    if (this.#roving !== span) {
      for (const name of ["tabindex", "role", "aria-label"]) this.#roving?.removeAttribute(name);
      span.tabIndex = 0;
      this.#roving = span;
    }
    if (focus) span.focus();
  }

  // What it does is only told of the word that has the focus: ninety thousand links would be noise.
  #focused(event) {
    const index = event.target.word;
    if (index === undefined) return;
    event.target.setAttribute("role", this.#editing ? "button" : "link");
    const at = spoken(this.words.start(index));
    const does = this.#editing ? "correct" : `play from ${at}`;
    const about = event.target.title ? `, ${event.target.title}` : "";
    event.target.setAttribute("aria-label", `${this.words.texts[index]}${about}, ${does}`);
  }

  #key(event) {
    const index = event.target.word;
    if (index === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#editing && this.#editKey(event, index)) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const { paragraph } = this.#locate(index).block;
    const to = {
      ArrowLeft: index - 1,
      ArrowRight: index + 1,
      ArrowUp: paragraph.first < index ? paragraph.first : this.#beside(index, -1),
      ArrowDown: this.#beside(index, 1),
      Home: paragraph.first,
      End: paragraph.first + paragraph.count - 1,
    }[event.key];
    if (to !== undefined) this.#rove(to, true);
    else if (event.key === "Enter") this.#seek(this.words.start(index));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Keys that are others while words are being corrected; says whether it was one.
  #editKey(event, index) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.shiftKey && by) {
      const to = Math.min(Math.max(0, index + by), this.words.length - 1);
      this.#choose({ from: this.#chosen?.from ?? index, to });
      this.#rove(to, true);
    } else if (event.key === "Enter") {
      const { from, to } = this.#chosen ?? { from: index, to: index };
      this.#pick(Math.min(from, to), Math.max(from, to));
    } else {
      this.#choose(null);
      return false;
    }
    return true;
  }

  // First word of the paragraph before or after the one that holds `index`.
  #beside(index, by) {
    const here = lastAtOrBefore(this.#firsts, this.#firsts.length, index);
    const there = Math.min(Math.max(0, here + by), this.#firsts.length - 1);
    return this.#firsts[there];
  }

  // Found words ----------------------------------------------------------------------------------

  /** Marks found runs of words `first[i]..=last[i]`, the one at `current` more. */
  showHits(hits) {
    this.#hits = hits;
    for (const block of this.#speech) if (block.spans) this.#paintHits(block);
  }

  #paintHits(block) {
    const { first: start, count } = block.paragraph;
    const { first, last, current } = this.#hits;
    for (const span of block.marked ?? []) span.classList.remove("hit", "hit-now");
    block.marked = [];
    let i = Math.max(0, lastAtOrBefore(first, first.length, start));
    for (; i < first.length && first[i] < start + count; i += 1) {
      const to = Math.min(last[i], start + count - 1);
      for (let word = Math.max(first[i], start); word <= to; word += 1) {
        const span = block.spans[word - start];
        span.classList.add("hit");
        span.classList.toggle("hit-now", i === current);
        block.marked.push(span);
      }
    }
  }
}

const timeLink = (ms) =>
  h(
    "a",
    { class: "time", href: `#t=${(ms / 1000).toFixed(2)}`, "data-ms": ms, tabindex: "-1", "aria-label": `Play from ${spoken(ms)}` },
    clock(ms),
  );

const gapLine = (gap) =>
  h(
    "div",
    { class: "gap-line", role: "note" },
    timeLink(gap.start_ms),
    h("p", {}, h("strong", {}, gapLength(gap)), ` ${cause(gap)}`),
  );

const hiddenLine = (segment) =>
  h(
    "div",
    { class: "hidden-line" },
    timeLink(segment.start_ms),
    h("p", {}, h("span", { class: "why" }, `Hidden: ${reason(segment.suppressed)}`), " ", segment.text),
  );

customElements.define("rt-transcript", Transcript);
