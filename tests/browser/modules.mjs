// The page's own modules, run where they run: in the browser. Made-up words, from a fixed seed.
import { expect } from "./support.mjs";

/** Captions: short, few, in time, and every word in them once. */
const cues = (page) =>
  page.evaluate(async (seed) => {
    const { cuesOf } = await import("/web/cues.js");
    const segments = window.madeUp(seed, 400);
    const cues = cuesOf(segments);
    const said = segments.filter((s) => !s.suppressed).flatMap((s) => s.words.map((w) => w.text));
    const shown = cues.flatMap((cue) => cue.lines.join(" ").split(" "));
    const faults = [];
    if (said.join(" ") !== shown.join(" ")) faults.push("words are lost or doubled");
    for (const cue of cues) {
      const long = cue.lines.find((line) => line.length > 42 && line.includes(" "));
      if (long) faults.push(`a line of ${long.length} characters: ${long}`);
      if (cue.lines.length > 2) faults.push(`${cue.lines.length} lines`);
      if (cue.end_ms - cue.start_ms > 7_000 + 1_200) faults.push(`a cue of ${cue.end_ms - cue.start_ms} ms`);
    }
    cues.slice(1).forEach((cue, i) => cue.start_ms < cues[i].start_ms && faults.push("a cue goes back"));
    return faults;
  }, 7);

/** Paragraphs added bit by bit are those added at once, hold every word once, and every gap. */
const paragraphs = (page) =>
  page.evaluate(async (seed) => {
    const { Paragraphs } = await import("/web/paragraphs.js");
    const { Words } = await import("/web/words.js");
    const segments = window.madeUp(seed, 300);
    const end = segments.at(-1).end_ms;
    const gaps = [0.1, 0.35, 0.35001, 0.8, 1].map((at) => ({ start_ms: Math.round(at * end), duration_ms: 5, cause: "loss" }));
    const make = (step) => {
      const words = new Words();
      const made = new Paragraphs(gaps);
      for (let i = 0; i < segments.length; i += step) {
        const before = JSON.stringify(made.list);
        const kept = made.append(segments.slice(i, i + step), words);
        if (JSON.stringify(made.list.slice(0, kept)) !== JSON.stringify(JSON.parse(before).slice(0, kept))) throw new Error("a finished paragraph changed");
      }
      made.finish(end);
      return { list: made.list, words };
    };
    const whole = make(segments.length);
    const faults = [];
    if (JSON.stringify(make(1).list) !== JSON.stringify(whole.list)) faults.push("bit by bit gives others");
    const speech = whole.list.filter((p) => p.kind === "speech");
    let next = 0;
    for (const p of speech) {
      if (p.first !== next) faults.push(`paragraph begins at word ${p.first}, not ${next}`);
      next = p.first + p.count;
    }
    if (next !== whole.words.length) faults.push("words are missing");
    const count = (kind) => whole.list.filter((p) => p.kind === kind).length;
    if (count("gap") !== gaps.length) faults.push(`${count("gap")} gaps`);
    if (count("hidden") !== segments.filter((s) => s.suppressed).length) faults.push("hidden ones are missing");
    return faults;
  }, 11);

/** The word at a time, by binary search and by looking at all of them. */
const search = (page) =>
  page.evaluate(async (seed) => {
    const { lastAtOrBefore } = await import("/web/words.js");
    const random = window.seeded(seed);
    for (let round = 0; round < 300; round += 1) {
      const starts = Array.from({ length: Math.floor(random() * 12) }, () => Math.floor(random() * 20)).sort((a, b) => a - b);
      for (let ms = -1; ms < 21; ms += 1) {
        const slow = starts.filter((start) => start <= ms).length - 1;
        if (lastAtOrBefore(starts, starts.length, ms) !== slow) return [`${starts} at ${ms}`];
      }
    }
    return [];
  }, 13);

const values = (page) =>
  page.evaluate(async () => {
    const { parsePlaylist } = await import("/web/playlist.js");
    const { clock, shortLength, spoken } = await import("/web/format.js");
    const { timeIn } = await import("/web/share.js");
    const text = '#EXTM3U\r\n#EXT-X-MAP:URI="init.mp4"\n#EXTINF:4.000000,\nchunks/0.m4s\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n#EXTINF:3.5,\nchunks/1.m4s\n';
    const growing = parsePlaylist(text);
    return {
      clocks: [0, 59_999, 60_000, 3_600_000, 36_061_000].map(clock),
      spoken: [0, 1_000, 3_723_000].map(spoken),
      lengths: [240, 9_000, 45_300, 63_000].map(shortLength),
      times: ["#t=90", "#t=1.5", "#t=1:02:03", "#t=2:03.5s", "#t=", "#transcript", ""].map(timeIn),
      chunks: growing.chunks.map((c) => [c.uri, c.start, c.end]),
      init: growing.init,
      ended: [growing.ended, parsePlaylist(`${text}#EXT-X-ENDLIST\n`).ended],
    };
  });

const VALUES = {
  clocks: ["0:00", "0:59", "1:00", "1:00:00", "10:01:01"],
  spoken: ["0 seconds", "1 second", "1 hour 2 minutes 3 seconds"],
  lengths: ["240 ms", "9.0 s", "45 s", "1:03"],
  times: [90_000, 1_500, 3_723_000, 123_500, null, null, null],
  chunks: [["chunks/0.m4s", 0, 4], ["chunks/1.m4s", 4, 7.5]],
  init: "init.mp4",
  ended: [false, true],
};

/** Ten hours of words: shown at once, and lit without a pause anybody would see. */
const long = (page) =>
  page.evaluate(async (seed) => {
    const view = document.createElement("rt-transcript");
    document.querySelector("rt-transcript").after(view);
    const segments = window.madeUp(seed, 9_000);
    const begin = performance.now();
    view.reset([]);
    view.add(segments, segments.at(-1).end_ms);
    view.getBoundingClientRect();
    const shown_ms = performance.now() - begin;
    const { length } = view.words;
    const lit = performance.now();
    for (let i = 0; i < 2_000; i += 1) view.light(view.words.start(length >> 1) + i * 16);
    const frame_ms = (performance.now() - lit) / 2_000;
    const result = { words: length, elements: view.querySelectorAll("*").length, shown_ms: Math.round(shown_ms), frame_ms };
    view.remove();
    return result;
  }, 17);

/** Runs all of it; gives the figures of the long transcript. */
export async function checkModules(page) {
  await page.evaluate(install);
  for (const [name, check] of Object.entries({ cues, paragraphs, search })) {
    const faults = await check(page);
    expect(faults.length === 0, `${name}: ${faults.slice(0, 3).join("; ")}`);
  }
  const found = await values(page);
  for (const [name, wanted] of Object.entries(VALUES)) {
    expect(JSON.stringify(found[name]) === JSON.stringify(wanted), `${name}: ${JSON.stringify(found[name])}`);
  }
  const figures = await long(page);
  expect(figures.words > 80_000, `only ${figures.words} words were made up`);
  expect(figures.elements < figures.words / 2, `${figures.elements} elements for ${figures.words} words`);
  expect(figures.shown_ms < 5_000, `showing ${figures.words} words took ${figures.shown_ms} ms`);
  expect(figures.frame_ms < 4, `lighting a word takes ${figures.frame_ms} ms`);
  return figures;
}

// Puts `seeded` and `madeUp` into the page.
function install() {
  window.seeded = (seed) => {
    let state = seed;
    return () => {
      state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
      return state / 4_294_967_296;
    };
  };
  window.madeUp = (seed, count) => {
    const random = window.seeded(seed);
    const ends = ["", "", "", "", ",", ".", "?"];
    let at = 0;
    return Array.from({ length: count }, (_, ordinal) => {
      const words = Array.from({ length: 1 + Math.floor(random() * 20) }, () => {
        const start_ms = at;
        at += 80 + Math.floor(random() * 500);
        const end_ms = at;
        if (random() < 0.1) at += Math.floor(random() * 1_500);
        const text = "x".repeat(1 + Math.floor(random() ** 4 * 60)) + ends[Math.floor(random() * ends.length)];
        return { start_ms, end_ms, text, confidence: 0.9 };
      });
      at += Math.floor(random() * 2_000);
      return {
        ordinal,
        start_ms: words[0].start_ms,
        end_ms: words.at(-1).end_ms,
        text: words.map((w) => w.text).join(" "),
        speaker: random() < 0.2 ? "Ada" : null,
        confidence: 0.9,
        suppressed: random() < 0.05 ? "loop" : null,
        words,
      };
    });
  };
}
