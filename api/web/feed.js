// What the server says of one recording, and its words, kept up to date while either may change.
import { Watched, json, poll } from "./api.js";
import { isOpen } from "./words-for.js";

const LIVE_MS = 2_000;
const WORKING_MS = 3_000;
/** While nothing is being made of a recording, somebody may still correct its words. */
const QUIET_MS = 10_000;
/** How long after its end a recording's receipt is waited for. */
const RECEIPT_MS = 60_000;

/**
 * Events: `recording` (it has changed), `words` with `detail: {reset, segments, transcript}`,
 * `trouble` (with `detail`: a text, or `null` once it is over).
 */
export class Feed extends EventTarget {
  recording = null;
  /** The transcript last seen, without its segments. */
  transcript = null;
  #base;
  #recordings = new Watched();
  #transcripts = new Watched();
  #count = 0;
  // The edits last seen, as text.
  #edits = null;
  // Something has changed since the words were read.
  #stale = true;
  #picked = null;
  #poll = null;
  #failures = 0;

  constructor(id) {
    super();
    this.#base = `/api/recordings/${encodeURIComponent(id)}`;
  }

  /** Asks for the recording once; throws the server's [`Problem`]. */
  async open() {
    this.recording = await json(this.#base);
    return this.recording;
  }

  /** Keeps asking. */
  start() {
    this.#poll = poll(() => this.#step());
  }

  /** Asks now. */
  nudge() {
    this.#stale = true;
    this.#poll?.nudge();
  }

  /** The version that is read; `null`: the one that people are shown. */
  get picked() {
    return this.#picked;
  }

  /** Reads another version from now on; `null`: the one that people are shown. */
  pick(version) {
    this.#picked = version;
    this.nudge();
  }

  async #step() {
    try {
      const recording = await this.#recordings.get(this.#base);
      if (recording) {
        this.recording = recording;
        this.#stale = true;
        this.#tell("recording");
      }
      if (this.#stale || this.transcript?.state !== "complete") {
        this.#stale = false;
        await this.#readWords();
      }
      if (this.#failures >= 2) this.#tell("trouble", null);
      this.#failures = 0;
      return this.#wait();
    } catch {
      this.#stale = true;
      this.#failures += 1;
      if (this.#failures === 2) this.#tell("trouble", "The server cannot be reached. Trying again…");
      return Math.min(15_000, LIVE_MS * this.#failures);
    }
  }

  #wait() {
    const { recording, transcript } = this;
    if (isOpen(recording)) return LIVE_MS;
    const ended = Date.parse(recording.ended_at);
    const receipted = recording.receipt || recording.state === "failed" || Date.now() - ended > RECEIPT_MS;
    const working = !receipted || ["ready", "running"].includes(recording.transcribing?.state);
    if (working || transcript?.state === "running") return WORKING_MS;
    // A page that nobody looks at asks again once somebody does.
    return document.hidden ? null : QUIET_MS;
  }

  // The version that people are shown; before there is one, the one that is being made.
  async #version() {
    const { transcript, transcribing } = this.recording;
    if (this.#picked !== null) return `version=${this.#picked}&`;
    if (transcript) return "";
    if (transcribing?.state !== "running") return null;
    const { items } = await json(`${this.#base}/transcripts`);
    const growing = items.filter((item) => item.state === "running").at(-1);
    return growing ? `version=${growing.version}&` : null;
  }

  // Segments are only ever added to a version; another version, or another edit, begins anew.
  async #readWords() {
    const version = await this.#version();
    if (version === null) return;
    const path = `${this.#base}/transcript.json?${version}from=${this.#count}`;
    const answer = await this.#transcripts.get(path).catch(none);
    if (!answer) return;
    const edits = JSON.stringify(answer.edits);
    const another = this.transcript === null || answer.version !== this.transcript.version || edits !== this.#edits;
    if (another && this.#count > 0) {
      this.#count = 0;
      this.transcript = null;
      await this.#readWords();
      return;
    }
    const { segments, ...transcript } = answer;
    this.transcript = transcript;
    this.#edits = edits;
    this.#count += segments.length;
    this.#tell("words", { reset: another, segments, transcript });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function none(problem) {
  if (problem.status === 404) return null;
  throw problem;
}
