// What the browser tests share: a Chromium of the system's own, watched for errors and for requests
// that leave the server, and checks that say what they expected.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Longest wait for anything that should happen by itself, in ms. */
export const SOON = 20_000;

const LAUNCH = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// playwright-core from the folder that ROOMTAPE_PLAYWRIGHT names, from NODE_PATH, or from where
// `make test` puts it.
function playwright() {
  const set = process.env.ROOMTAPE_PLAYWRIGHT ?? process.env.NODE_PATH?.replace(/\/node_modules\/?$/, "");
  const home = set ?? join(homedir(), ".cache/roomtape/node");
  try {
    return createRequire(join(home, "package.json"))("playwright-core");
  } catch (error) {
    throw new Error(`${home} holds no node_modules/playwright-core: npm install --prefix ${home} playwright-core`, { cause: error });
  }
}

/** Fails with `message` unless `holds`. */
export function expect(holds, message) {
  if (!holds) throw new Error(message);
}

/** Runs `test({browser, base, id, out})` with the command line's arguments and reports in one line. */
export async function main(test) {
  const [base, id, out, ...rest] = process.argv.slice(2);
  if (!base || !id || !out) {
    console.error("usage: <script>.mjs <base-url> <recording-id> <out-dir>");
    process.exit(2);
  }
  mkdirSync(out, { recursive: true });
  let browser = null;
  try {
    browser = await playwright().chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: LAUNCH,
    });
    const results = await test({ browser, base: base.replace(/\/$/, ""), id, out, rest });
    console.log(JSON.stringify({ ok: true, ...results }));
  } catch (error) {
    console.log(JSON.stringify({ ok: false, error: error.message }));
    console.error(error.stack);
    process.exitCode = 1;
  } finally {
    await browser?.close();
  }
}

/** A page that is watched; `faults` collects what must not happen. */
export async function open(browser, base, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "UTC",
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(SOON);
  const faults = [];
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`answer ${response.status()} to ${response.url()}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${base}/`) && !/^(blob|data):/.test(url)) faults.push(`request off the origin: ${url}`);
  });
  return { context, page, faults };
}

/** Waits until `condition(argument)` holds in the page; `what` names it where it does not. */
export async function until(page, what, condition, argument, timeout = SOON) {
  try {
    const handle = await page.waitForFunction(condition, argument, { timeout, polling: 50 });
    return await handle.jsonValue();
  } catch (error) {
    if (error.name !== "TimeoutError") throw error;
    throw new Error(`did not happen within ${timeout / 1000} s: ${what}`);
  }
}

/** Opens a recording's page and waits for its words. */
export async function openReplay(page, base, id, hash = "") {
  await page.goto(`${base}/recordings/${id}${hash}`);
  await until(page, "the recording's page shows words", () => document.querySelector("rt-transcript .word") !== null);
}

/** Media time now, in seconds. */
export const mediaTime = (page) => page.evaluate(() => document.getElementById("audio").currentTime);
