// The operator corrects words on the replay, by mouse and by keys, and promotes another version.
import { join } from "node:path";
import { checkContrast, checkPhone, checkStructure } from "./accessible.mjs";
import { expect, main, open, openReplay, until } from "./support.mjs";

/** The word that the other version hears differently: see `another_version`. */
const WORD = 5;
const FIXED = "harbour-master";

const view = "rt-transcript";

const texts = (page, from, count) =>
  page.evaluate(([view, from, count]) => document.querySelector(view).words.texts.slice(from, from + count), [view, from, count]);

const says = (page, what, from, wanted) =>
  until(page, what, ([view, from, wanted]) => document.querySelector(view).words.texts.slice(from, from + wanted.length).join(" ") === wanted.join(" "), [view, from, wanted]);

const wordAt = async (page, index) => {
  const handle = await page.evaluateHandle(([view, i]) => document.querySelector(view).wordElement(i), [view, index]);
  return handle.asElement();
};

const field = (page) => page.locator(".editor-field");

async function correctsByMouse(page) {
  const before = await texts(page, 0, 8);
  await page.getByRole("button", { name: "Correct words" }).click();
  await (await wordAt(page, WORD)).click();
  expect((await field(page).inputValue()) === before[WORD], `the field holds ${await field(page).inputValue()}`);
  await field(page).fill(FIXED);
  await field(page).press("Enter");
  await says(page, "the correction is shown", WORD, [FIXED, before[WORD + 1]]);
  const marked = await page.evaluate(([view, i]) => {
    const span = document.querySelector(view).wordElement(i);
    return [span.className, document.activeElement === span];
  }, [view, WORD]);
  expect(marked[0].includes("edited") && !marked[0].includes("conflict"), `the word is marked ${marked[0]}`);
  expect(marked[1], "the focus is not where it was corrected");
  return before;
}

/** Keys alone: two words chosen, written anew, and all of it undone. */
async function correctsByKeys(page) {
  const index = WORD + 3;
  const before = await texts(page, index, 3);
  await page.evaluate(([view, i]) => document.querySelector(view).focusWord(i), [view, index]);
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Enter");
  expect((await field(page).inputValue()) === before.slice(0, 2).join(" "), "the field does not hold both words");
  await page.keyboard.press("Escape");
  expect((await field(page).count()) === 0, "Escape does not close the field");
  await page.keyboard.press("Enter");
  await page.keyboard.type("one two three");
  await page.keyboard.press("Enter");
  await says(page, "three words are shown for one", index, ["one", "two", "three", before[1]]);
  await page.keyboard.press("Control+z");
  await says(page, "Ctrl+Z takes the correction back", index, before);
}

/** What a person selects is what is corrected. */
async function correctsASelection(page) {
  const index = WORD + 3;
  const before = await texts(page, index, 3);
  const [from, to] = [await (await wordAt(page, index)).boundingBox(), await (await wordAt(page, index + 1)).boundingBox()];
  await page.mouse.move(from.x + 3, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(to.x + to.width - 3, to.y + to.height / 2, { steps: 4 });
  await page.mouse.up();
  expect((await field(page).inputValue()) === before.slice(0, 2).join(" "), `selected is “${await field(page).inputValue()}”`);
  await page.getByRole("button", { name: "Take out" }).click();
  await says(page, "the words are taken out", index, [before[2]]);
  await page.locator("#edits li").first().getByRole("button", { name: /^Undo/ }).click();
  await says(page, "the words are back", index, before);
}

/** Somebody else is faster: what was typed stays, and the page says what is there now. */
async function losesARace(page, base, id) {
  const index = WORD + 3;
  const before = await texts(page, index, 1);
  const shown = await (await fetch(`${base}/api/recordings/${id}/transcript.json`)).json();
  const word = shown.segments.filter((s) => !s.suppressed).flatMap((s) => s.words)[index];
  await (await wordAt(page, index)).click();
  await field(page).fill("mine");
  const body = JSON.stringify({ start_ms: word.start_ms, end_ms: word.end_ms, replaced: word.text, text: "theirs" });
  const made = await fetch(`${base}/api/recordings/${id}/edits`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  expect(made.status === 201, `the faster edit was answered ${made.status}`);
  await field(page).press("Enter");
  await page.getByText("It says “theirs” here now.").waitFor();
  expect((await field(page).inputValue()) === "mine", "what was typed is gone");
  await field(page).press("Enter");
  await says(page, "saved again it is shown", index, ["mine"]);
  await page.getByRole("button", { name: "Undo", exact: true }).click();
  await says(page, "undone it is theirs", index, ["theirs"]);
  const number = (await made.json()).number;
  await fetch(`${base}/api/recordings/${id}/edits/${number}`, { method: "DELETE" });
  // A page that nobody touches finds it out by itself.
  await says(page, "what is undone elsewhere is undone here", index, before);
}

async function staysAfterReload(page, base, id) {
  await page.reload();
  await until(page, "the words are back", (view) => document.querySelector(view)?.words.length > 0, view);
  await says(page, "the correction is there after a reload", WORD, [FIXED]);
  expect((await page.locator("#edits li").count()) === 1, "not one correction is listed");
  const txt = await (await fetch(`${base}/api/recordings/${id}/transcript.txt`)).text();
  expect(txt.includes(FIXED), "the text does not have the correction");
}

/** What differs is told word by word, and goes to where it is said. */
async function compares(page) {
  await page.getByRole("button", { name: "Compare with 1" }).click();
  const dialog = page.getByRole("dialog", { name: "Version 1 and version 2" });
  await dialog.waitFor();
  const added = await dialog.locator(".diff-list ins").allTextContents();
  expect(added.join(" ") === "zebra otter.", `added are ${added}`);
  await checkContrast(page, "diff");
  return dialog;
}

/** Another version is promoted on the page; the correction is seen on it, in conflict. */
async function promotes(page) {
  await page.getByRole("button", { name: "Show version 2 to everyone" }).click();
  await until(page, "the other version is read", (view) => {
    const { words } = document.querySelector(view);
    return words.texts.at(-1) === "otter.";
  }, view);
  await says(page, "the correction is there on the other version", WORD, [FIXED]);
  await until(page, "it is marked as conflicting", ([view, i]) =>
    document.querySelector(view).wordElement(i).classList.contains("conflict"), [view, WORD]);
  await page.getByText("This version disagrees with 1 correction.").waitFor();
  expect((await page.locator("#edits .in-conflict").textContent()).includes("“zebra”"), "the list does not say what the version says");
}

/** Kept, it is decided; undone, the version's own word is shown. */
async function decides(page) {
  await page.getByRole("button", { name: /^Keep: / }).click();
  await until(page, "the conflict is over", () => document.getElementById("conflict-note").hidden);
  await says(page, "the correction is still shown", WORD, [FIXED]);
  for (let left = 2; left > 0; left -= 1) {
    await page.locator("#edits li").first().getByRole("button", { name: /^(Undo|Take)/ }).click();
    await until(page, "a correction less is listed", (left) => document.querySelectorAll("#edits li").length < left, left);
  }
  await says(page, "the version's own word is shown", WORD, ["zebra"]);
}

/** The page while a word in conflict is corrected: checked, and kept as a picture. */
async function look(browser, base, id, file, options) {
  const { context, page, faults } = await open(browser, base, { reducedMotion: "reduce", ...options });
  await openReplay(page, base, id);
  await page.getByRole("button", { name: "Correct words" }).click();
  await (await wordAt(page, WORD)).click();
  await field(page).waitFor();
  const least = await checkContrast(page, file);
  if (options.viewport.width < 500) await checkPhone(page, file);
  await page.screenshot({ path: file });
  await page.keyboard.press("Escape");
  expect(faults.length === 0, `${file}: ${faults.join("; ")}`);
  await context.close();
  return least;
}

async function looks(browser, base, id, out) {
  const kinds = {
    light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
    dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
    phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
  };
  const contrast = {};
  for (const [kind, options] of Object.entries(kinds)) {
    contrast[kind] = await look(browser, base, id, join(out, `edits-${kind}.png`), options);
  }
  return contrast;
}

await main(async ({ browser, base, id, out }) => {
  const { page, faults } = await open(browser, base);
  await openReplay(page, base, id);
  const before = await correctsByMouse(page);
  await checkStructure(page, "edits");
  await correctsByKeys(page);
  await correctsASelection(page);
  await losesARace(page, base, id);
  await staysAfterReload(page, base, id);
  const dialog = await compares(page);
  await page.screenshot({ path: join(out, "diff-light.png") });
  await dialog.getByRole("button", { name: "Close" }).click();
  await promotes(page);
  const contrast = await looks(browser, base, id, out);
  await decides(page);
  // The one that lost the race is the only answer that is an error.
  const others = faults.filter((fault) => !/409/.test(fault));
  expect(others.length === 0, others.join("; "));
  return { before, contrast };
});
