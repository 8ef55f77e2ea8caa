// A live recording's page: it plays from MediaSource and goes on by itself, its words grow, and when
// the recording ends it becomes the replay without being loaded again.
//
// It ends the recording itself, with the page's own button, once its words have grown; with a fourth
// argument `wait` it waits for someone else to end it.
import { join } from "node:path";
import { checkPhone, checkStructure } from "./accessible.mjs";
import { SOON, expect, main, mediaTime, open, until } from "./support.mjs";

/** Longest wait for words, for the end of the recording and for its transcript, in ms. */
const LONG = Number(process.env.ROOMTAPE_LIVE_DEADLINE_S ?? "180") * 1000;

const wordCount = (page) => page.evaluate(() => document.querySelector("rt-transcript").words.length);

async function plays(page) {
  await page.getByRole("button", { name: "Listen live" }).click();
  await until(page, "it plays", () => !document.getElementById("audio").paused && document.getElementById("audio").readyState > 2, null, LONG);
  const source = await page.evaluate(() => document.getElementById("audio").src);
  expect(source.startsWith("blob:"), `it plays ${source} and not a MediaSource`);
  return mediaTime(page);
}

/** It goes on for longer than what there was when it began. */
async function goesOn(page, from) {
  const had = await page.evaluate(() => {
    const { buffered } = document.getElementById("audio");
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  });
  const at = await until(page, "it plays on past what had been recorded", (had) => {
    const at = document.getElementById("audio").currentTime;
    return at > had + 1 ? at : null;
  }, had, SOON + 20_000);
  expect(at > from, `it began at ${from} s and is at ${at} s`);
  return at;
}

/** Media time is what the words count in: the last word shown lies within what has been recorded. */
async function wordsGrow(page, before) {
  await until(page, "its words grow", (n) => document.querySelector("rt-transcript").words.length > n, before, LONG);
  const { last, end } = await page.evaluate(() => {
    const { words } = document.querySelector("rt-transcript");
    const slider = document.querySelector("[role=slider]");
    return { last: words.end(words.length - 1) / 1000, end: Number(slider.getAttribute("aria-valuemax")) };
  });
  expect(last <= end + 1, `the last word ends at ${last} s, but ${end} s are recorded`);
}

async function endFromPage(page) {
  await page.getByRole("button", { name: "End recording…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End recording" }).click();
}

async function becomesReplay(page, at) {
  await until(page, "the page sees the end", () =>
    document.querySelector("[data-part=live]").hidden && document.getElementById("badge").hidden, null, LONG);
  expect(await page.evaluate(() => window.stillHere === true), "the page was loaded again");
  const now = await mediaTime(page);
  expect(now >= at, `the position went back from ${at} s to ${now} s`);
  await until(page, "the length is known", () => Number.isFinite(document.getElementById("audio").duration));
  const audio = await page.evaluate(() => {
    const { paused, ended } = document.getElementById("audio");
    return { paused, ended };
  });
  expect(!audio.paused || audio.ended, "it stopped playing when the recording ended");
  await until(page, "it plays to its end", () => document.getElementById("audio").ended, null, LONG);
  return page.evaluate(() => document.getElementById("audio").duration);
}

/** The whole recording's own transcript takes the place of the live words. */
async function wordsBecomeFinal(page) {
  return until(page, "the transcript of the whole recording is shown", () => {
    const facts = document.getElementById("facts").textContent;
    const version = /version (\d+)/.exec(facts);
    return version && Number(version[1]) >= 1 && document.getElementById("progress-note").hidden ? version[0] : null;
  }, null, LONG);
}

/** Back to its beginning by a click on its first word. */
async function replays(page) {
  const first = page.locator("rt-transcript .word").first();
  await first.click();
  const start = await page.evaluate(() => document.querySelector("rt-transcript").words.start(0) / 1000);
  await until(page, "the first word can be played again", (at) =>
    Math.abs(document.getElementById("audio").currentTime - at) <= 0.3, start);
  await page.getByRole("button", { name: "Play", exact: true }).click();
  await until(page, "it plays from there", (at) => document.getElementById("audio").currentTime > at + 1, start);
  await until(page, "a word is lit", () => document.querySelector(".word.lit") !== null);
}

await main(async ({ browser, base, id, out, rest }) => {
  const { page, faults } = await open(browser, base);
  await page.goto(`${base}/recordings/${id}`);
  await page.getByText("Recording", { exact: true }).first().waitFor();
  await page.evaluate(() => (window.stillHere = true));
  await checkStructure(page, "live");
  const from = await plays(page);
  const before = await wordCount(page);
  const at = await goesOn(page, from);
  await wordsGrow(page, before);
  await page.screenshot({ path: join(out, "live-light.png") });
  const phone = await open(browser, base, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await phone.page.goto(`${base}/recordings/${id}`);
  await phone.page.getByText("Recording", { exact: true }).first().waitFor();
  await checkPhone(phone.page, "live on a phone");
  await phone.page.screenshot({ path: join(out, "live-phone.png") });
  await phone.context.close();
  const grown = await wordCount(page);
  if (!rest.includes("wait")) await endFromPage(page);
  const duration = await becomesReplay(page, at);
  const version = await wordsBecomeFinal(page);
  await replays(page);
  await page.screenshot({ path: join(out, "live-ended.png") });
  expect(faults.length === 0, faults.join("; "));
  return { began_s: from, words_before: before, words_live: grown, words: await wordCount(page), duration_s: duration, version };
});
