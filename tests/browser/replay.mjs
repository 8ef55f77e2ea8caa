// The replay of an ended recording, and the list that leads to it, in a real browser.
import { join } from "node:path";
import { checkContrast, checkPhone, checkStructure } from "./accessible.mjs";
import { checkModules } from "./modules.mjs";
import { expect, main, mediaTime, open, openReplay, until } from "./support.mjs";

/** How far from a word's start a click may land, in seconds. */
const CLOSE = 0.3;

const view = "rt-transcript";
const position = () => document.getElementById("audio").currentTime;

/** Waits until the position is within `CLOSE` of `seconds`. */
const arrives = (page, what, seconds) =>
  until(page, what, ([at, close]) => Math.abs(document.getElementById("audio").currentTime - at) <= close, [seconds, CLOSE]);

const startOf = (page, index) =>
  page.evaluate(([view, i]) => document.querySelector(view).words.start(i) / 1000, [view, index]);

async function plays(page) {
  await page.getByRole("button", { name: "Play", exact: true }).click();
  await until(page, "the position moves on while it plays", () => document.getElementById("audio").currentTime > 1);
  await page.getByRole("button", { name: "Pause", exact: true }).waitFor();
}

/** While it plays, one lit word gives way to another, and each is lit in its own time. */
async function lightMoves(page) {
  const lit = () => document.querySelector(".word.lit")?.word ?? null;
  const first = await until(page, "a word is lit", () => {
    const lit = document.querySelector(".word.lit");
    return lit ? { word: lit.word, at: document.getElementById("audio").currentTime } : null;
  });
  const start = await startOf(page, first.word);
  expect(Math.abs(first.at - start) < 3, `word ${first.word} was lit at ${first.at} s but begins at ${start} s`);
  await until(page, "another word is lit", (before) => {
    const lit = document.querySelector(".word.lit");
    return lit !== null && lit.word !== before;
  }, first.word);
  expect((await page.evaluate(() => document.querySelectorAll(".word.lit").length)) <= 1, "more than one word is lit");
  return page.evaluate(lit);
}

/** Waits until the page no longer glides: a press and a release must meet the same word. */
async function stands(page) {
  await page.evaluate(() => delete window.stood);
  await until(page, "the page stands still", () => {
    window.stood = window.stood?.at === scrollY ? { at: scrollY, times: window.stood.times + 1 } : { at: scrollY, times: 0 };
    return window.stood.times >= 6;
  });
}

/** A click on a word goes to where it is said. Returns how far off it landed. */
async function clickSeeks(page) {
  const index = await page.evaluate((view) => Math.floor(document.querySelector(view).words.length / 2), view);
  const start = await startOf(page, index);
  await page.evaluate(() => {
    const audio = document.getElementById("audio");
    audio.addEventListener("seeked", () => (window.landed = audio.currentTime), { once: true });
  });
  await page.keyboard.press("End");
  await stands(page);
  const word = await page.evaluateHandle(([view, i]) => document.querySelector(view).wordElement(i), [view, index]);
  await word.asElement().evaluate((element) => element.scrollIntoView({ block: "center", behavior: "instant" }));
  await word.asElement().click();
  await until(page, "the click on a word seeks", () => window.landed !== undefined);
  const off = Math.abs((await page.evaluate(() => window.landed)) - start);
  expect(off <= CLOSE, `a click on word ${index} landed ${off.toFixed(3)} s from its start`);
  await until(page, "the clicked word is lit", (i) => document.querySelector(".word.lit")?.word >= i, index);
  return { index, off };
}

/** Captions show the words that are said. */
async function captionsShow(page) {
  await page.getByRole("button", { name: "Captions" }).click();
  return until(page, "the captions hold the lit word", () => {
    const line = document.querySelector("rt-captions");
    const lit = document.querySelector(".word.lit");
    if (!lit || !line.checkVisibility()) return null;
    const text = [...line.children].map((span) => span.textContent).join(" ");
    return text.split(" ").includes(lit.textContent) ? text : null;
  });
}

async function keysWork(page) {
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("k");
  await until(page, "k pauses", () => document.getElementById("audio").paused);
  const middle = await startOf(page, await page.evaluate((view) => Math.floor(document.querySelector(view).words.length / 2), view));
  await page.evaluate((at) => (document.getElementById("audio").currentTime = at), middle);
  await arrives(page, "the position is set", middle);
  for (const [key, to] of [["j", -10], ["l", 0], ["ArrowRight", 10], ["ArrowLeft", 0]]) {
    await page.keyboard.press(key);
    await arrives(page, `${key} goes to ${to} s from there`, middle + to);
  }
  await page.keyboard.press(">");
  await until(page, "> plays faster", () => document.getElementById("audio").playbackRate === 1.25);
  await page.keyboard.press("<");
  await until(page, "< plays slower", () => document.getElementById("audio").playbackRate === 1);
  await page.keyboard.press("Space");
  await until(page, "Space plays", () => !document.getElementById("audio").paused);
  await page.keyboard.press("Space");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard keys" }).waitFor();
  await page.keyboard.press("Escape");
  await until(page, "Escape closes the help", () => !document.getElementById("help").open);
}

/** The words are in the tab order once, and Enter on one plays from it. */
async function wordsByKeyboard(page) {
  const stops = page.locator(`${view} .word[tabindex="0"]`);
  expect((await stops.count()) === 1, `${await stops.count()} words are in the tab order`);
  await stops.focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  const focused = await page.evaluate(() => [document.activeElement.word, document.activeElement.getAttribute("role")]);
  expect(focused[1] === "link", "the focused word does not say what it does");
  await page.keyboard.press("Enter");
  await arrives(page, "Enter on a word seeks", await startOf(page, focused[0]));
}

async function findWorks(page) {
  const wanted = await page.evaluate((view) => {
    const { words } = document.querySelector(view);
    const text = words.texts[Math.floor(words.length / 3)].toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
    return { text, count: words.texts.filter((word) => word.toLowerCase().includes(text)).length };
  }, view);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("f");
  await page.keyboard.type(wanted.text);
  await until(page, `find counts ${wanted.count} × "${wanted.text}"`, (count) =>
    document.querySelector(".find-count").textContent.endsWith(`of ${count}`), wanted.count);
  await until(page, "the found word is marked and on the screen", () => {
    const box = document.querySelector(".word.hit-now")?.getBoundingClientRect();
    return box !== undefined && box.top > 0 && box.bottom < innerHeight;
  });
  await page.keyboard.press("Escape");
  await until(page, "Escape clears the find", () => document.querySelectorAll(".word.hit").length === 0);
  return wanted;
}

async function gapsShown(page, recording) {
  const shown = await page.evaluate(() => ({
    listed: document.querySelectorAll("#gaps li").length,
    marked: document.querySelectorAll("rt-seek-bar .marks .gap").length,
    hidden: document.getElementById("gaps-box").hidden,
  }));
  const { length } = recording.gaps;
  expect(shown.listed === length && shown.marked === length, `${length} gaps, but ${JSON.stringify(shown)}`);
  expect(shown.hidden === (length === 0), "the list of gaps is shown when it should not be, or not");
  return length;
}

/** What is proven of the recording stands beside it. */
async function receiptShown(page, recording) {
  const shown = await page.locator("#receipt").textContent();
  const { root, signed_by } = recording.receipt;
  expect(shown.includes(root.slice(0, 16)) && shown.includes(signed_by ?? "nobody"), `the receipt shows ${shown}`);
}

async function seekBarSpeaks(page, recording) {
  const slider = page.getByRole("slider", { name: "Position" });
  await slider.focus();
  await page.keyboard.press("Home");
  await arrives(page, "Home goes to the start", 0);
  await until(page, "the slider says where it is", () =>
    /^0 seconds of \d/.test(document.querySelector("[role=slider]").getAttribute("aria-valuetext")));
  const max = Number(await slider.getAttribute("aria-valuemax"));
  expect(Math.abs(max - recording.duration_ms / 1000) <= 1, `the slider ends at ${max} s`);
}

async function sharedLink(browser, base, id, seconds) {
  const { context, page } = await open(browser, base);
  await openReplay(page, base, id, `#t=${seconds.toFixed(2)}`);
  await arrives(page, "a shared link opens at its time", seconds);
  await context.close();
}

/** The page in one look: checked, and kept as a picture. */
async function look(browser, base, path, ready, file, options) {
  const { context, page, faults } = await open(browser, base, { reducedMotion: "reduce", ...options });
  await page.addInitScript(() => localStorage.setItem("roomtape.captions", "on"));
  await page.goto(`${base}${path}`);
  await page.locator(ready).first().waitFor();
  const least = await checkContrast(page, file);
  if (options.viewport?.width < 500) await checkPhone(page, file);
  await page.screenshot({ path: file });
  expect(faults.length === 0, `${file}: ${faults.join("; ")}`);
  await context.close();
  return least;
}

async function looks(browser, base, id, out, seconds) {
  const kinds = {
    light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
    dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
    phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
    narrow: { colorScheme: "dark", viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true },
  };
  const contrast = {};
  for (const [kind, options] of Object.entries(kinds)) {
    const replay = await look(browser, base, `/recordings/${id}#t=${seconds.toFixed(2)}`, ".word.lit", join(out, `replay-${kind}.png`), options);
    const list = await look(browser, base, "/", ".row", join(out, `list-${kind}.png`), options);
    contrast[kind] = Math.min(replay, list);
  }
  return contrast;
}

async function listFinds(browser, base, recording) {
  const { context, page, faults } = await open(browser, base);
  await page.goto(base);
  const link = page.locator(`a[href="/recordings/${recording.id}"]`);
  await link.waitFor();
  expect((await link.textContent()) === recording.title, "the list shows another title");
  await checkStructure(page, "list");
  await page.getByRole("searchbox").fill("no recording is called this");
  await page.getByText("Nothing matches").waitFor();
  await page.getByRole("searchbox").fill(recording.title);
  await link.click();
  await page.getByRole("heading", { level: 1, name: recording.title }).waitFor();
  expect(faults.length === 0, `list: ${faults.join("; ")}`);
  await context.close();
}

/** An address that leads nowhere says so. */
async function unknownSaysSo(browser, base) {
  const { context, page } = await open(browser, base);
  await page.goto(`${base}/recordings/00000000-0000-7000-8000-000000000000`);
  await page.getByRole("heading", { level: 1, name: "There is no such recording" }).waitFor();
  await context.close();
}

await main(async ({ browser, base, id, out }) => {
  const recording = await (await fetch(`${base}/api/recordings/${id}`)).json();
  const { page, faults } = await open(browser, base);
  await openReplay(page, base, id);
  const headings = await checkStructure(page, "replay");
  await plays(page);
  const lit = await lightMoves(page);
  const clicked = await clickSeeks(page);
  const caption = await captionsShow(page);
  await keysWork(page);
  await wordsByKeyboard(page);
  const found = await findWorks(page);
  const gaps = await gapsShown(page, recording);
  await receiptShown(page, recording);
  await seekBarSpeaks(page, recording);
  const long = await checkModules(page);
  expect(faults.length === 0, faults.join("; "));
  const words = await page.evaluate((view) => document.querySelector(view).words.length, view);
  await sharedLink(browser, base, id, await startOf(page, clicked.index));
  await listFinds(browser, base, recording);
  await unknownSaysSo(browser, base);
  const early = await startOf(page, Math.min(5, words - 1));
  const contrast = await looks(browser, base, id, out, early);
  return { words, headings, lit, clicked_off_s: clicked.off, caption, found, gaps, long, contrast, position_s: await mediaTime(page) };
});
