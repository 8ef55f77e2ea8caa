// Feeds an audio element through MediaSource with a recording's own chunks, so that its clock is
// media time from the first second, live or not. Chunks are fetched round the play position and
// dropped behind it; a live playlist is read again until it ends.
import { request } from "./api.js";
import { parsePlaylist } from "./playlist.js";

const TYPE = 'audio/mp4; codecs="opus"';
/** Seconds fetched ahead of the play position, and kept behind it. */
const AHEAD = 45;
const BEHIND = 90;
/** Where a listener joins a live recording: this far before its end. */
const EDGE = 6;
/** A chunk counts as buffered when all but this much of either end is. */
const SLACK = 0.06;
/** A hole in the sound that is stepped over rather than waited at. */
const HOLE = 5;
const TRIES = 2;

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

/** Whether this browser can be fed chunks. */
export const canStream = () => Boolean(Source?.isTypeSupported(TYPE));

/** Events: `grown` (the playlist has), `ended` (it will not any more), `trouble` (with `detail`), `recovered`. */
export class ChunkStream extends EventTarget {
  chunks = [];
  finished = false;
  #audio;
  #base;
  #media = new Source();
  #buffer = null;
  #init = null;
  #tries = new Map();
  #pumping = false;
  #again = false;
  #fetching = null;
  #timer = null;
  #closed = false;
  #playlistTag = null;
  #failures = 0;

  constructor(audio, base) {
    super();
    this.#audio = audio;
    this.#base = base;
  }

  /** Media time of the last sample listed, in seconds. */
  get end() {
    return this.chunks.at(-1)?.end ?? 0;
  }

  /** Where a live listener joins. */
  get edge() {
    return Math.max(0, this.end - EDGE);
  }

  /** Attaches to the element and begins; settles when audio can be sought. */
  async open() {
    const opened = new Promise((resolve) => {
      this.#media.addEventListener("sourceopen", resolve, { once: true });
    });
    const url = URL.createObjectURL(this.#media);
    this.#audio.disableRemotePlayback = true;
    this.#audio.src = url;
    await opened;
    URL.revokeObjectURL(url);
    for (const name of ["seeking", "timeupdate", "waiting", "play"]) {
      this.#audio.addEventListener(name, this.#onAudio);
    }
    this.#buffer = this.#media.addSourceBuffer(TYPE);
    await this.#refresh();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#fetching?.abort();
    for (const name of ["seeking", "timeupdate", "waiting", "play"]) {
      this.#audio.removeEventListener(name, this.#onAudio);
    }
  }

  #onAudio = (event) => {
    if (event.type === "seeking") this.#leaveFarFetch();
    if (event.type === "waiting") this.#stepOverHole();
    void this.pump();
  };

  /** Reads the playlist again now. */
  nudge() {
    if (!this.finished) void this.#refresh();
  }

  // The playlist ---------------------------------------------------------------------------------

  async #refresh() {
    clearTimeout(this.#timer);
    let wait = 2_000;
    try {
      await this.#readPlaylist();
      this.#succeeded();
    } catch (error) {
      wait = this.#failed(error);
    }
    if (this.#closed || this.finished) return;
    this.#timer = setTimeout(() => void this.#refresh(), wait);
  }

  async #readPlaylist() {
    const headers = this.#playlistTag ? { "If-None-Match": this.#playlistTag } : {};
    const response = await request(this.#address("playlist.m3u8"), { headers });
    if (response.status === 304) return;
    const playlist = parsePlaylist(await response.text());
    // Nothing has been kept yet: the header comes with the first chunk.
    if (playlist.chunks.length === 0 && !playlist.ended) return;
    if (this.#init === null && playlist.init) await this.#appendInit(playlist.init);
    const grown = playlist.chunks.length > this.chunks.length;
    this.chunks = playlist.chunks;
    await this.#tellLength(playlist.ended);
    if (grown) this.dispatchEvent(new Event("grown"));
    if (playlist.ended && !this.finished) {
      this.finished = true;
      this.dispatchEvent(new Event("ended"));
    }
    this.#playlistTag = response.headers.get("ETag");
    void this.pump();
  }

  async #appendInit(uri) {
    const bytes = await (await request(this.#address(uri))).arrayBuffer();
    await this.#append(bytes);
    this.#init = uri;
  }

  // The address of what the playlist names, or of the playlist itself.
  #address(uri) {
    return new URL(uri, new URL(`${this.#base}/`, location.href)).href;
  }

  // A growing recording has no length yet, but everything up to its end can be sought.
  async #tellLength(ended) {
    await this.#idle();
    if (this.#media.readyState !== "open") return;
    if (ended) {
      this.#media.clearLiveSeekableRange?.();
      const end = this.#bufferedEnd();
      this.#media.duration = Math.max(this.end, end);
    } else {
      if (this.#media.duration !== Infinity) this.#media.duration = Infinity;
      this.#media.setLiveSeekableRange?.(0, this.end);
    }
  }

  #bufferedEnd() {
    const { buffered } = this.#buffer;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  }

  // The buffer -----------------------------------------------------------------------------------

  /** Fetches what the play position needs next, one chunk after another. */
  async pump() {
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    try {
      do {
        this.#again = false;
        while (!this.#closed && (await this.#step())) {
          // One chunk a step; each step looks at the play position anew.
        }
      } while (this.#again && !this.#closed);
    } finally {
      this.#pumping = false;
    }
  }

  // Whether another step may be useful.
  async #step() {
    if (this.#init === null) return false;
    const index = this.#wanted();
    if (index === null) {
      this.#endIfWhole();
      return false;
    }
    try {
      const bytes = await this.#fetch(this.chunks[index]);
      this.#tries.set(index, (this.#tries.get(index) ?? 0) + 1);
      await this.#makeRoom(BEHIND);
      await this.#append(bytes);
      this.#succeeded();
      return true;
    } catch (error) {
      if (error.name === "AbortError") return true;
      const wait = this.#failed(error);
      setTimeout(() => void this.pump(), wait);
      return false;
    }
  }

  async #fetch(chunk) {
    this.#fetching = new AbortController();
    this.#fetching.chunk = chunk;
    const response = await request(this.#address(chunk.uri), { signal: this.#fetching.signal });
    const bytes = await response.arrayBuffer();
    this.#fetching = null;
    return bytes;
  }

  // The first chunk from the play position on that is not there; `null` when enough is.
  #wanted() {
    const from = this.#audio.currentTime;
    for (let i = this.#chunkAt(from); i < this.chunks.length; i += 1) {
      if (this.chunks[i].start > from + AHEAD) return null;
      if (!this.#has(this.chunks[i])) {
        if ((this.#tries.get(i) ?? 0) < TRIES) return i;
      }
    }
    return null;
  }

  #chunkAt(seconds) {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.chunks[middle].end <= seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #has(chunk) {
    const { buffered } = this.#buffer;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= chunk.start + SLACK && buffered.end(i) >= chunk.end - SLACK) return true;
    }
    return false;
  }

  async #append(bytes) {
    for (const keep of [BEHIND, 15, 2]) {
      await this.#idle();
      try {
        this.#buffer.appendBuffer(bytes);
        await this.#idle();
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        await this.#makeRoom(keep, true);
      }
    }
    throw new Error("the browser has no room for more sound");
  }

  // Drops what lies more than `keep` seconds behind, and when `hard` also what lies far ahead.
  async #makeRoom(keep, hard = false) {
    const now = this.#audio.currentTime;
    await this.#drop(0, now - keep, hard ? 0 : 30);
    await this.#drop(now + (hard ? keep : AHEAD * 2), Infinity, 0);
  }

  async #drop(from, to, unlessOver) {
    const { buffered } = this.#buffer;
    if (buffered.length === 0) return;
    const begin = Math.max(from, buffered.start(0));
    const end = Math.min(to, buffered.end(buffered.length - 1));
    if (end - begin <= unlessOver) return;
    await this.#idle();
    this.#buffer.remove(begin, end);
    await this.#idle();
    this.#tries.clear();
  }

  #idle() {
    if (!this.#buffer.updating) return Promise.resolve();
    return new Promise((resolve) => this.#buffer.addEventListener("updateend", resolve, { once: true }));
  }

  // Once the last chunk of an ended recording is there, the element is told that nothing follows.
  #endIfWhole() {
    const last = this.chunks.at(-1);
    if (!this.finished || !last || this.#media.readyState !== "open" || this.#buffer.updating) return;
    const tried = (this.#tries.get(this.chunks.length - 1) ?? 0) >= TRIES;
    if (this.#has(last) || tried) this.#media.endOfStream();
  }

  #leaveFarFetch() {
    const chunk = this.#fetching?.chunk;
    if (!chunk) return;
    const now = this.#audio.currentTime;
    if (chunk.end < now || chunk.start > now + AHEAD) this.#fetching.abort();
  }

  #stepOverHole() {
    const now = this.#audio.currentTime;
    const { buffered } = this.#buffer;
    for (let i = 0; i < buffered.length; i += 1) {
      const start = buffered.start(i);
      const tried = (this.#tries.get(this.#chunkAt(now)) ?? 0) >= TRIES;
      if (start > now + 0.01 && (start - now < 0.2 || (tried && start - now < HOLE))) {
        this.#audio.currentTime = start + 0.001;
        return;
      }
    }
  }

  // Trouble --------------------------------------------------------------------------------------

  #failed(error) {
    this.#failures += 1;
    if (this.#failures === 2) this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
    return Math.min(10_000, 500 * 2 ** this.#failures);
  }

  #succeeded() {
    if (this.#failures >= 2) this.dispatchEvent(new Event("recovered"));
    this.#failures = 0;
  }
}
