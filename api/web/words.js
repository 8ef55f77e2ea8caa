// Every shown word of a transcript in one flat index, so that the word at a time is one binary
// search away however long the recording is.

/** A word stays lit this long into the silence after it, so that the light does not flicker. */
const AFTERGLOW_MS = 350;

/** Index of the last of `starts[0..length]` that is ≤ `ms`, or −1. `starts` never goes back. */
export function lastAtOrBefore(starts, length, ms) {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (starts[middle] <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A growing list of integers without a box for each. */
class Column {
  length = 0;
  values = new Int32Array(1024);

  push(value) {
    if (this.length === this.values.length) {
      const wider = new Int32Array(this.length * 2);
      wider.set(this.values);
      this.values = wider;
    }
    this.values[this.length] = value;
    this.length += 1;
  }
}

export class Words {
  #starts = new Column();
  #ends = new Column();
  #edits = new Map();
  texts = [];

  get length() {
    return this.texts.length;
  }

  /** Adds a word; its start must not lie before the last one's. */
  push(word) {
    this.#starts.push(word.start_ms);
    this.#ends.push(word.end_ms);
    if (word.edit !== undefined) this.#edits.set(this.texts.length, word.edit);
    this.texts.push(word.text);
  }

  /** The number of the edit that word `index` comes from. */
  edit(index) {
    return this.#edits.get(index);
  }

  /** The words `first..=last` as one text. */
  text(first, last) {
    return this.texts.slice(first, last + 1).join(" ");
  }

  /** The words from the first that begins at `start_ms` to the last that ends at `end_ms`; `null` where there are none. */
  between(start_ms, end_ms) {
    let first = this.begunAt(start_ms);
    while (first > 0 && this.start(first - 1) === start_ms) first -= 1;
    if (first < 0 || this.start(first) !== start_ms) return null;
    for (let last = first; last < this.length && this.start(last) <= end_ms; last += 1) {
      if (this.end(last) === end_ms) return { first, last };
    }
    return null;
  }

  start(index) {
    return this.#starts.values[index];
  }

  end(index) {
    return this.#ends.values[index];
  }

  /** The last word that has begun at `ms`, or −1. */
  begunAt(ms) {
    return lastAtOrBefore(this.#starts.values, this.length, ms);
  }

  /** The word being said at `ms`, or −1 in silence. */
  at(ms) {
    const index = this.begunAt(ms);
    return index >= 0 && ms < this.end(index) + AFTERGLOW_MS ? index : -1;
  }
}
