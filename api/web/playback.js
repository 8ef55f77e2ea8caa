// One player over the three ways a recording can be heard: the whole file (over), its chunks
// through MediaSource (live, or behind a token), and the browser's own HLS where there is nothing
// else. Times are milliseconds of media time.
import { token } from "./api.js";
import { ChunkStream, canStream } from "./chunk-stream.js";
import { isOpen } from "./words-for.js";

/** Within this much of the join position a live listener counts as being at the edge. */
const AT_EDGE_MS = 12_000;

const MEDIA_ERRORS = {
  2: "The connection was lost while loading the sound.",
  3: "The sound could not be decoded.",
  4: "This browser cannot play Opus in MP4. Download the WAV instead.",
};

/**
 * Events: `change` (playing, waiting, live or not), `length`, `seeked`, `finished` (a live
 * recording is over), `trouble` (with `detail`: a text, or `null` once it is over).
 */
export class Playback extends EventTarget {
  /** Whether `position` is media time; only the browser's own live HLS is not. */
  exact = true;
  /** Whether more sound may come. */
  live = false;
  /** Whether it is happening now, so that there is an edge to listen at: not so for an import. */
  joinable = false;
  waiting = false;
  #audio;
  #base;
  #stream = null;
  #length = 0;
  #pending = null;
  #joined = false;
  // Nothing has been kept yet; and whether play has been pressed meanwhile.
  #empty = false;
  #eager = false;

  constructor(audio) {
    super();
    this.#audio = audio;
    for (const name of ["play", "pause", "playing", "waiting", "ended", "seeked", "ratechange"]) {
      audio.addEventListener(name, () => this.#changed(name));
    }
    audio.addEventListener("progress", () => this.#tell("length"));
    audio.addEventListener("durationchange", () => this.#tell("length"));
    audio.addEventListener("loadedmetadata", () => this.#applyPending());
    audio.addEventListener("error", () => this.#failed());
  }

  /** Makes `recording` playable, at `at` ms where that is given. */
  async open(recording, at = null) {
    this.#base = `/api/recordings/${recording.id}`;
    this.#length = recording.duration_ms;
    this.live = isOpen(recording);
    this.joinable = this.live && recording.state !== "importing";
    if (at !== null || !this.joinable) this.#joined = true;
    this.#empty = this.live && recording.duration_ms === 0;
    if (!this.#empty) await this.#attach(at);
    this.#tell("change");
  }

  async #attach(at) {
    if (canStream() && (this.live || token())) await this.#openStream(at);
    else this.#openAddress(at);
  }

  // The first sound of a recording that was opened before there was any.
  async #begin() {
    this.#empty = false;
    await this.#attach(null);
    const eager = this.#eager;
    this.#eager = false;
    if (eager) await this.play();
  }

  async #openStream(at) {
    const stream = new ChunkStream(this.#audio, this.#base);
    this.#stream = stream;
    stream.addEventListener("grown", () => this.#tell("length"));
    stream.addEventListener("trouble", () => {
      this.#tell("trouble", "The connection to the recorder was lost. Trying again…");
    });
    stream.addEventListener("recovered", () => this.#tell("trouble", null));
    stream.addEventListener("ended", () => {
      if (this.live) this.#finish();
    });
    await stream.open();
    if (at !== null) this.#set(at);
    else if (this.joinable) this.#set(stream.edge * 1000);
  }

  #openAddress(at) {
    const native = this.live && this.#audio.canPlayType("application/vnd.apple.mpegurl") !== "";
    this.exact = !native;
    // Chromium fails on a growing playlist of which it was first asked for metadata alone.
    if (native) this.#audio.preload = "auto";
    this.#audio.src = `${this.#base}/${native ? "playlist.m3u8" : "audio.mp4"}`;
    if (at !== null) this.#set(at);
  }

  /** What the server now says of the recording: how long it is, and whether it is over. */
  update(recording) {
    this.#length = Math.max(this.#length, recording.duration_ms);
    if (this.#empty && recording.duration_ms > 0) {
      this.live = isOpen(recording);
      this.joinable &&= this.live;
      void this.#begin();
    } else if (this.live && !isOpen(recording)) {
      if (this.#stream) this.#stream.nudge();
      else if (this.#empty) this.#finish();
      else this.#becomeFile();
    }
    this.#tell("length");
  }

  // The browser's own HLS gives way to the file, which has the right clock.
  #becomeFile() {
    const { playing } = this;
    const { currentTime, duration } = this.#audio;
    // Its clock began wherever the browser joined, which its length now tells.
    const joined = Number.isFinite(duration) ? Math.max(0, this.#length / 1000 - duration) : 0;
    this.exact = true;
    this.#audio.src = `${this.#base}/audio.mp4`;
    this.#tell("trouble", null);
    this.#set((joined + currentTime) * 1000);
    if (playing) void this.play();
    this.#finish();
  }

  #finish() {
    this.live = false;
    this.joinable = false;
    this.#tell("finished");
    this.#tell("change");
  }

  /** Where it is. */
  get position() {
    return this.#pending ?? Math.round(this.#audio.currentTime * 1000);
  }

  /** How long it is, as far as known. */
  get length() {
    const known = this.#stream ? Math.round(this.#stream.end * 1000) : 0;
    return Math.max(this.#length, known);
  }

  get playing() {
    return this.#eager || (!this.#audio.paused && !this.#audio.ended);
  }

  get ended() {
    return this.#audio.ended;
  }

  /** Whether a live listener hears what is being said now. */
  get atEdge() {
    if (!this.joinable || !this.#stream) return false;
    return this.#joined && this.#stream.end * 1000 - this.position < AT_EDGE_MS;
  }

  get rate() {
    return this.#audio.playbackRate;
  }

  set rate(value) {
    this.#audio.defaultPlaybackRate = value;
    this.#audio.playbackRate = value;
  }

  /** What is loaded: `[from, to]` in ms. */
  get buffered() {
    const { buffered } = this.#audio;
    return Array.from({ length: buffered.length }, (_, i) => [buffered.start(i) * 1000, buffered.end(i) * 1000]);
  }

  seek(ms) {
    if (!this.exact) return;
    this.#joined = true;
    const last = this.live ? this.length - 500 : this.length - 20;
    this.#set(Math.min(Math.max(0, ms), Math.max(0, last)));
    this.#tell("seeked");
  }

  /** To what is being said now. */
  seekToEdge() {
    if (this.#stream) this.seek(this.#stream.edge * 1000);
  }

  async play() {
    if (this.#empty) {
      this.#wait(true);
      return;
    }
    if (this.joinable && !this.#joined) this.seekToEdge();
    this.#joined = true;
    try {
      await this.#audio.play();
    } catch (error) {
      if (error.name !== "AbortError" && this.#audio.error === null) {
        this.#tell("trouble", "The browser did not start the sound. Press play again.");
      }
    }
  }

  pause() {
    if (this.#empty) this.#wait(false);
    this.#audio.pause();
  }

  // For the first sound, or no longer.
  #wait(eager) {
    this.#eager = eager;
    this.waiting = eager;
    this.#tell("change");
  }

  toggle() {
    if (this.playing) this.pause();
    else void this.play();
  }

  #set(ms) {
    this.#pending = ms;
    this.#applyPending();
  }

  #applyPending() {
    if (this.#pending === null || this.#audio.readyState === 0) return;
    this.#audio.currentTime = this.#pending / 1000;
    this.#pending = null;
  }

  #changed(name) {
    if (name === "waiting") this.waiting = true;
    if (["playing", "pause", "seeked", "ended"].includes(name)) this.waiting = false;
    // Nobody can listen faster than people talk.
    if (name === "waiting" && this.atEdge && this.rate > 1) this.rate = 1;
    if (name === "playing") this.#tell("trouble", null);
    this.#tell(name === "seeked" ? "seeked" : "change");
  }

  #failed() {
    const error = this.#audio.error;
    if (!error || !this.#audio.getAttribute("src")) return;
    this.#tell("trouble", MEDIA_ERRORS[error.code] ?? "The sound could not be played.");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
