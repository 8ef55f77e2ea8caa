// <rt-captions>: the caption at the play position, from word times.
import { h } from "./dom.js";
import { cuesOf } from "./cues.js";
import { lastAtOrBefore } from "./words.js";

class Captions extends HTMLElement {
  #cues = [];
  #starts = [];
  #shown = null;

  reset() {
    this.#cues = [];
    this.#starts = [];
    this.#show(null);
  }

  add(segments) {
    for (const cue of cuesOf(segments)) {
      this.#cues.push(cue);
      this.#starts.push(cue.start_ms);
    }
  }

  /** Shows the cue at `ms`. */
  at(ms) {
    const index = lastAtOrBefore(this.#starts, this.#starts.length, ms);
    const cue = this.#cues[index];
    this.#show(cue && ms < cue.end_ms ? cue : null);
  }

  #show(cue) {
    if (cue === this.#shown) return;
    this.#shown = cue;
    this.replaceChildren(...(cue ? cue.lines.map((line) => h("span", {}, line)) : []));
  }
}

customElements.define("rt-captions", Captions);
