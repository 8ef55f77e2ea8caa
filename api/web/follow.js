// Keeps the word being said in sight, until the reader scrolls away; then offers the way back.

const SCROLL_KEYS = new Set(["PageUp", "PageDown", "Home", "End"]);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Follow {
  #button;
  #dock;
  #following = true;
  #element = null;
  #moved = false;
  #pressed = false;

  /** `button` is the way back; `dock` covers the lower end of the window. */
  constructor(button, dock) {
    this.#button = button;
    this.#dock = dock;
    button.addEventListener("click", () => this.resume());
    const leave = () => this.leave();
    addEventListener("wheel", (event) => event.deltaY !== 0 && leave(), { passive: true });
    addEventListener("touchmove", (event) => dock.contains(event.target) || leave(), { passive: true });
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("pointerdown", (event) => this.#press(event));
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => (this.#pressed = false));
  }

  #key(event) {
    const typing = event.target.closest("input, select, textarea, [role=slider], .word");
    if (!typing && SCROLL_KEYS.has(event.key)) this.leave();
  }

  // A word must not glide away between press and release. A press on the scrollbar looks elsewhere.
  #press(event) {
    this.#pressed = true;
    if (!this.#dock.contains(event.target)) scrollTo({ top: scrollY, behavior: "instant" });
    if (event.target === document.documentElement && event.clientX >= document.documentElement.clientWidth) {
      this.leave();
    }
  }

  /** The reader looks elsewhere. */
  leave() {
    this.#following = false;
    this.#offer();
  }

  /** Back to the word being said. */
  resume() {
    this.#following = true;
    this.#offer();
    this.#keep(true);
  }

  /** `element` is the word now; `null` before the first. */
  at(element) {
    if (element === this.#element) return;
    this.#element = element;
    this.#offer();
    this.#keep(false);
  }

  #offer() {
    this.#button.hidden = this.#following || this.#element === null;
  }

  // The band of the window in which the word may stand without anything moving.
  #band() {
    const bottom = this.#dock.getBoundingClientRect().top;
    return { top: 0.18 * bottom, bottom: 0.72 * bottom, rest: 0.34 * bottom };
  }

  #keep(always) {
    if (!this.#following || !this.#element || (this.#pressed && !always)) return;
    const box = this.#element.getBoundingClientRect();
    const band = this.#band();
    if (!always && box.top >= band.top && box.bottom <= band.bottom) return;
    if (!always && scrollY === 0 && box.top < band.top) return;
    const by = box.top - band.rest;
    // A page that has just been opened does not glide to its place.
    const far = !this.#moved || Math.abs(by) > 1.5 * innerHeight;
    this.#moved = true;
    scrollBy({ top: by, behavior: calm.matches || far ? "instant" : "smooth" });
    if (far) requestAnimationFrame(() => this.#settle());
  }

  // Paragraphs far away had only an estimated height: look again once they are laid out.
  #settle() {
    if (!this.#following || !this.#element) return;
    const by = this.#element.getBoundingClientRect().top - this.#band().rest;
    if (Math.abs(by) > 40) scrollBy({ top: by, behavior: "instant" });
  }
}
