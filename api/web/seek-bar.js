// <rt-seek-bar>: where we are in the recording, what is loaded, where there is speech and where
// sound is missing. A slider for hands, keys and screen readers. Fires `seek` with `detail` in ms.
import { h } from "./dom.js";
import { clock, spoken } from "./format.js";
import { draw } from "./speech-map.js";

const STEP_MS = 10_000;
const PAGE_MS = 60_000;

class SeekBar extends HTMLElement {
  /** Says what is at a time: `{text, kind}` or `null`; set by the page. */
  describe = () => null;
  #length = 0;
  #position = 0;
  #words = null;
  #gaps = [];
  #dragging = null;
  #drawing = null;

  connectedCallback() {
    this.base = h("canvas", { class: "speech" });
    this.played = h("canvas", { class: "speech played" });
    this.loaded = h("div", { class: "loaded" });
    this.marks = h("div", { class: "marks" });
    this.head = h("div", { class: "head" });
    this.bubble = h("div", { class: "bubble", "aria-hidden": "true", hidden: true });
    this.strip = h(
      "div",
      { class: "strip", role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": "0" },
      this.loaded, this.base, this.played, this.marks, this.head,
    );
    this.append(this.strip, this.bubble);
    this.#listen();
  }

  #listen() {
    const { strip } = this;
    strip.addEventListener("pointerdown", (event) => this.#grab(event));
    strip.addEventListener("pointermove", (event) => this.#move(event));
    strip.addEventListener("pointerup", (event) => this.#drop(event));
    strip.addEventListener("pointercancel", () => this.#letGo());
    strip.addEventListener("pointerleave", () => this.#dragging === null && this.#hide());
    strip.addEventListener("keydown", (event) => this.#key(event));
    strip.addEventListener("focus", () => strip.matches(":focus-visible") && this.#point(this.#position));
    strip.addEventListener("blur", () => this.#hide());
    new ResizeObserver(() => this.#redraw()).observe(this);
    addEventListener("themechange", () => this.#redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** Length of the recording in ms. */
  set length(ms) {
    if (ms === this.#length) return;
    this.#length = ms;
    this.strip.setAttribute("aria-valuemax", String(Math.round(ms / 1000)));
    this.#placeGaps();
    this.#redraw();
    this.#place();
  }

  /** Play position in ms. */
  set position(ms) {
    this.#position = ms;
    if (this.#dragging === null) this.#place();
  }

  /** `[from, to]` pairs in ms. */
  set buffered(ranges) {
    while (this.loaded.children.length > ranges.length) this.loaded.lastChild.remove();
    while (this.loaded.children.length < ranges.length) this.loaded.append(h("span"));
    ranges.forEach(([from, to], i) => this.#span(this.loaded.children[i], from, to));
  }

  set gaps(gaps) {
    this.#gaps = gaps;
    this.#placeGaps();
  }

  /** The words have changed. */
  setWords(words) {
    this.#words = words;
    this.#redraw();
  }

  /** Times of found words, in ms. */
  set hits(times) {
    this.#hits = times;
    this.#placeGaps();
  }

  #hits = [];

  #share(ms) {
    return this.#length > 0 ? Math.min(1, Math.max(0, ms / this.#length)) : 0;
  }

  #span(element, from, to) {
    element.style.left = `${100 * this.#share(from)}%`;
    element.style.width = `${100 * (this.#share(to) - this.#share(from))}%`;
  }

  #placeGaps() {
    const marks = this.#gaps.map((gap) => {
      const mark = h("span", { class: gap.duration_ms > 0 ? "gap" : "gap pause" });
      this.#span(mark, gap.start_ms, gap.start_ms + gap.duration_ms);
      return mark;
    });
    for (const ms of this.#hits) {
      const hit = h("span", { class: "hit-mark" });
      hit.style.left = `${100 * this.#share(ms)}%`;
      marks.push(hit);
    }
    this.marks.replaceChildren(...marks);
  }

  #place() {
    const ms = this.#dragging ?? this.#position;
    this.style.setProperty("--at", `${100 * this.#share(ms)}%`);
    const seconds = String(Math.round(ms / 1000));
    if (this.strip.getAttribute("aria-valuenow") === seconds) return;
    this.strip.setAttribute("aria-valuenow", seconds);
    const here = this.describe(ms);
    const gap = here?.kind === "gap" ? `, ${here.text}` : "";
    this.strip.setAttribute("aria-valuetext", `${spoken(ms)} of ${spoken(this.#length)}${gap}`);
  }

  #redraw() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => {
      if (!this.#words) return;
      draw(this.base, this.#words, this.#length);
      draw(this.played, this.#words, this.#length);
    });
  }

  // Pointing ------------------------------------------------------------------------------------

  #at(event) {
    const box = this.strip.getBoundingClientRect();
    return Math.round(this.#length * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  }

  #grab(event) {
    if (event.button !== 0 || this.#length === 0) return;
    this.strip.setPointerCapture(event.pointerId);
    this.#dragging = this.#at(event);
    this.#place();
    this.#point(this.#dragging);
  }

  #move(event) {
    const ms = this.#at(event);
    if (this.#dragging !== null) {
      this.#dragging = ms;
      this.#place();
    }
    this.#point(ms);
  }

  #drop(event) {
    if (this.#dragging === null) return;
    const ms = this.#at(event);
    this.#letGo();
    this.#seek(ms);
    if (event.pointerType !== "mouse") this.#hide();
  }

  #letGo() {
    this.#dragging = null;
    this.#place();
  }

  #seek(ms) {
    this.#position = Math.min(Math.max(0, ms), this.#length);
    this.#place();
    this.dispatchEvent(new CustomEvent("seek", { detail: this.#position }));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowLeft: this.#position - STEP_MS,
      ArrowDown: this.#position - STEP_MS,
      ArrowRight: this.#position + STEP_MS,
      ArrowUp: this.#position + STEP_MS,
      PageDown: this.#position - PAGE_MS,
      PageUp: this.#position + PAGE_MS,
      Home: 0,
      End: this.#length,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.#seek(to);
    this.#point(this.#position);
  }

  // The bubble over the pointer: the time, and what is there.
  #point(ms) {
    if (this.#length === 0) return;
    const here = this.describe(ms);
    const text = here ? h("span", { class: `bubble-text ${here.kind}` }, here.text) : null;
    this.bubble.replaceChildren(h("span", { class: "bubble-time" }, clock(ms)), ...(text ? [text] : []));
    this.bubble.hidden = false;
    const room = this.clientWidth;
    const half = this.bubble.offsetWidth / 2;
    const centre = Math.min(Math.max(this.#share(ms) * room, half), room - half);
    this.bubble.style.left = `${centre}px`;
  }

  #hide() {
    this.bubble.hidden = true;
  }
}

customElements.define("rt-seek-bar", SeekBar);
