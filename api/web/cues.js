// Captions from word times: at most two lines of 42 characters and 7 seconds, cut where a clause
// ends when one does. Pure.

const LINE = 42;
const LINES = 2;
const LONGEST_MS = 7_000;
/** Words this far apart do not share a cue. */
const APART_MS = 900;
/** A cue stays up this long after its last word, unless the next one comes. */
const LINGER_MS = 1_200;
/** From this many characters on, the end of a clause ends the cue. */
const ENOUGH = 36;

/** Greedy lines of at most `LINE` characters; a longer word gets a line of its own. */
function lines(texts) {
  const out = [];
  for (const text of texts) {
    const last = out.at(-1);
    if (last !== undefined && last.length + 1 + text.length <= LINE) out[out.length - 1] = `${last} ${text}`;
    else out.push(text);
  }
  return out;
}

/** Two lines of about the same length read better than a full one and a stub. */
function balanced(texts) {
  const greedy = lines(texts);
  if (greedy.length !== 2) return greedy;
  let best = greedy;
  for (let cut = 1; cut < texts.length; cut += 1) {
    const pair = [texts.slice(0, cut).join(" "), texts.slice(cut).join(" ")];
    const fits = pair.every((line) => line.length <= LINE);
    if (fits && spread(pair) < spread(best)) best = pair;
  }
  return best;
}

const spread = ([a, b]) => Math.abs(a.length - b.length);

const endsClause = (text) => /[,;:.!?…]["”’)]?$/.test(text);
const endsSentence = (text) => /[.!?…]["”’)]?$/.test(text);

/** Cues `{start_ms, end_ms, lines}` of the shown segments, in order. */
export function cuesOf(segments) {
  const cues = [];
  let held = [];
  let speaker = null;
  const cut = () => {
    if (held.length > 0) cues.push(cue(held));
    held = [];
  };
  for (const segment of segments) {
    if (segment.suppressed) continue;
    if (segment.speaker !== speaker) cut();
    speaker = segment.speaker;
    for (const word of segment.words) {
      if (held.length > 0 && mustCut(held, word)) cut();
      held.push(word);
    }
  }
  cut();
  return cues;
}

function mustCut(held, word) {
  const last = held.at(-1);
  if (word.start_ms - last.end_ms >= APART_MS) return true;
  if (word.end_ms - held[0].start_ms > LONGEST_MS) return true;
  const texts = held.map((w) => w.text);
  if (lines([...texts, word.text]).length > LINES) return true;
  const soFar = texts.join(" ").length;
  return endsSentence(last.text) || (soFar >= ENOUGH && endsClause(last.text));
}

const cue = (held) => ({
  start_ms: held[0].start_ms,
  end_ms: held.at(-1).end_ms + LINGER_MS,
  lines: balanced(held.map((w) => w.text)),
});
