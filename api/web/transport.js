// The player's controls: play, skip, speed, captions, the way to the live edge, and the clock.
import { announce, setIcon, setText } from "./dom.js";
import { clock } from "./format.js";
import { recall, remember } from "./store.js";

const SKIP_MS = 10_000;
const RATES = [0.75, 1, 1.25, 1.5, 1.75, 2];

export class Transport {
  #root;
  #playback;
  #parts;
  #rates;

  constructor(root, playback) {
    this.#root = root;
    this.#playback = playback;
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.#parts = {
      play: part("play"),
      live: part("live"),
      captions: part("captions"),
      rate: part("rate"),
      now: part("now"),
      length: part("length"),
      captionLine: root.querySelector("rt-captions"),
    };
    this.#wire(part);
    this.#restore();
  }

  #wire(part) {
    const { play, live, captions, rate } = this.#parts;
    play.addEventListener("click", () => this.#playback.toggle());
    part("back").addEventListener("click", () => this.skip(-1));
    part("forward").addEventListener("click", () => this.skip(1));
    live.addEventListener("click", () => this.toLive());
    captions.addEventListener("click", () => this.toggleCaptions());
    rate.addEventListener("change", () => this.#setRate(Number(rate.value)));
    this.#playback.addEventListener("change", () => this.render());
  }

  #restore() {
    this.showCaptions(recall("captions") === "on");
    const rate = Number(recall("rate", "1"));
    this.#playback.rate = RATES.includes(rate) ? rate : 1;
    this.render();
  }

  /** Ten seconds back (−1) or on (1). */
  skip(direction) {
    this.#playback.seek(this.#playback.position + direction * SKIP_MS);
  }

  toLive() {
    this.#playback.seekToEdge();
    void this.#playback.play();
  }

  /** The next slower (−1) or faster (1) speed. */
  changeRate(by) {
    const at = RATES.indexOf(this.#playback.rate);
    const next = RATES[Math.min(RATES.length - 1, Math.max(0, (at < 0 ? 1 : at) + by))];
    this.#setRate(next);
    announce(`Speed ${next}`);
  }

  #setRate(rate) {
    this.#playback.rate = rate;
    remember("rate", rate);
    this.render();
  }

  toggleCaptions() {
    const on = this.#parts.captionLine.hidden;
    this.showCaptions(on);
    remember("captions", on ? "on" : "off");
  }

  showCaptions(on) {
    this.#parts.captionLine.hidden = !on;
    this.#parts.captions.setAttribute("aria-pressed", String(on));
  }

  /** Shows what the player does. */
  render() {
    const { play, live, rate } = this.#parts;
    const { playing, atEdge } = this.#playback;
    setIcon(play, playing ? "pause" : "play");
    const listen = this.#playback.joinable && !playing ? "Listen live" : "Play";
    play.setAttribute("aria-label", playing ? "Pause" : listen);
    this.#root.classList.toggle("waiting", playing && this.#playback.waiting);
    live.hidden = !this.#playback.joinable || !this.#playback.exact;
    live.classList.toggle("at-edge", atEdge);
    live.setAttribute("aria-label", atEdge ? "You are listening live" : "Go to live");
    rate.value = String(this.#playback.rate);
  }

  /** Shows where it is. */
  tick() {
    setText(this.#parts.now, clock(this.#playback.position));
    setText(this.#parts.length, clock(this.#playback.length));
    const { live } = this.#parts;
    if (!live.hidden && live.classList.contains("at-edge") !== this.#playback.atEdge) this.render();
  }
}
