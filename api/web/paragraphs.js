// Segments → paragraphs that read well, with the gaps between them. Pure.

/** A pause this long begins a paragraph, once there is something to end. */
const PAUSE_MS = 1_500;
/** A new paragraph may begin after this many words when a sentence ends, … */
const FULL_WORDS = 60;
/** … and does after this many at the next segment. */
const LONG_WORDS = 120;

/**
 * A paragraph: `{kind: "speech", speaker, label, start_ms, end_ms, first, count, segments}` (words
 * `first..first+count` of the index), `{kind: "hidden", segment}` for a suppressed segment, or
 * `{kind: "gap", gap}`.
 */
export class Paragraphs {
  list = [];
  #gaps;
  #gap = 0;

  constructor(gaps) {
    this.#gaps = gaps;
  }

  /**
   * Adds `segments`, pushing the shown ones' words into `words`. Returns the index of the first
   * paragraph that is new or has changed.
   */
  append(segments, words) {
    const before = this.list.length;
    let changed = before;
    for (const segment of segments) {
      this.#placeGaps(segment.start_ms);
      if (segment.suppressed) {
        this.list.push({ kind: "hidden", segment });
        continue;
      }
      if (segment.words.length === 0) continue;
      const last = this.list.at(-1);
      if (last?.kind === "speech" && !begins(last, segment)) {
        extend(last, segment);
        changed = Math.min(changed, before - 1);
      } else {
        this.list.push(speech(segment, words.length));
      }
      for (const word of segment.words) words.push(word);
    }
    return Math.max(0, changed);
  }

  /** Puts in the gaps that begin before `end_ms` and are not in yet. */
  finish(end_ms) {
    this.#placeGaps(end_ms + 1);
  }

  #placeGaps(start_ms) {
    while (this.#gap < this.#gaps.length && this.#gaps[this.#gap].start_ms < start_ms) {
      this.list.push({ kind: "gap", gap: this.#gaps[this.#gap] });
      this.#gap += 1;
    }
  }
}

const speech = (segment, first) => ({
  kind: "speech",
  speaker: segment.speaker,
  label: segment.speaker_label,
  start_ms: segment.start_ms,
  end_ms: segment.end_ms,
  first,
  count: segment.words.length,
  text: segment.text,
});

function extend(paragraph, segment) {
  paragraph.end_ms = segment.end_ms;
  paragraph.count += segment.words.length;
  paragraph.text = segment.text;
}

/** Whether `segment` begins a new paragraph after `last`. */
function begins(last, segment) {
  if (segment.speaker !== last.speaker) return true;
  if (last.count >= LONG_WORDS) return true;
  if (segment.start_ms - last.end_ms >= PAUSE_MS) return true;
  return last.count >= FULL_WORDS && /[.!?…]["”’)]?$/.test(last.text);
}
