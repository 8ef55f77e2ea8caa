// A map of where there is speech, drawn from the words: tall where people talk fast, empty where
// nobody does. It is no waveform and does not pretend to be one.

/** Letters a second that fill the height. */
const FAST = 19;
const BAR = 3;
const STEP = 5;

/** Heights from 0 to 1 of `count` columns over `length_ms`. */
export function heights(words, length_ms, count) {
  const letters = new Float32Array(count);
  if (length_ms <= 0) return letters;
  const perColumn = length_ms / count;
  for (let i = 0; i < words.length; i += 1) {
    const start = words.start(i);
    const span = Math.max(80, words.end(i) - start);
    const first = Math.floor(start / perColumn);
    const last = Math.min(count - 1, Math.floor((start + span) / perColumn));
    for (let column = first; column <= last; column += 1) {
      const from = Math.max(start, column * perColumn);
      const to = Math.min(start + span, (column + 1) * perColumn);
      letters[column] += (words.texts[i].length * Math.max(0, to - from)) / span;
    }
  }
  return letters.map((n) => Math.min(1, Math.sqrt(n / ((FAST * perColumn) / 1000))));
}

/** Draws the map in `canvas`'s own text colour, filling it. */
export function draw(canvas, words, length_ms) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(canvas).color;
  const columns = Math.max(1, Math.floor(width / STEP));
  const tall = heights(words, length_ms, columns);
  const step = width / columns;
  for (let i = 0; i < columns; i += 1) {
    const bar = Math.max(2, tall[i] * height);
    context.beginPath();
    context.roundRect(i * step + (step - BAR) / 2, (height - bar) / 2, BAR, bar, 1.5);
    context.fill();
  }
}
