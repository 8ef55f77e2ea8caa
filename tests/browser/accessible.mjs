// What a program can check of a page's accessibility: names, headings, landmarks, targets, contrast.
import { expect } from "./support.mjs";

/** Checks structure and names. */
export async function checkStructure(page, where) {
  const found = await page.evaluate(() => {
    const seen = (element) => element.checkVisibility({ checkVisibilityCSS: true });
    const text = (element) => element.textContent.trim();
    const named = (element) =>
      element.getAttribute("aria-label") ||
      element.labels?.[0]?.textContent.trim() ||
      text(element) ||
      element.querySelector("img[alt]:not([alt=''])");
    const controls = [...document.querySelectorAll("button, a[href], input, select, [role=slider], [role=link]")];
    return {
      lang: document.documentElement.lang,
      title: document.title,
      mains: document.querySelectorAll("main").length,
      headings: [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((h) => [Number(h.tagName[1]), text(h)]),
      nameless: controls.filter(seen).filter((c) => !named(c)).map((c) => c.outerHTML.slice(0, 120)),
      altless: [...document.querySelectorAll("img:not([alt])")].length,
      labelledby: [...document.querySelectorAll("[aria-labelledby]")]
        .filter((e) => !document.getElementById(e.getAttribute("aria-labelledby")))
        .map((e) => e.getAttribute("aria-labelledby")),
      duplicates: [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i),
    };
  });
  expect(found.lang === "en", `${where}: the page names no language`);
  expect(found.title !== "", `${where}: the page has no title`);
  expect(found.mains === 1, `${where}: ${found.mains} main landmarks`);
  expect(found.nameless.length === 0, `${where}: controls without a name: ${found.nameless.join(" | ")}`);
  expect(found.altless === 0, `${where}: images without alt`);
  expect(found.labelledby.length === 0, `${where}: labels that do not exist: ${found.labelledby}`);
  expect(found.duplicates.length === 0, `${where}: ids used twice: ${found.duplicates}`);
  checkHeadings(found.headings, where);
  return found.headings.length;
}

function checkHeadings(headings, where) {
  const tops = headings.filter(([level]) => level === 1);
  expect(tops.length === 1, `${where}: ${tops.length} headings of level 1`);
  for (let i = 1; i < headings.length; i += 1) {
    const [level, text] = headings[i];
    expect(level <= headings[i - 1][0] + 1, `${where}: heading "${text}" skips a level`);
    expect(text !== "", `${where}: an empty heading`);
  }
}

/** Checks that nothing is wider than the window and that controls are large enough for a thumb. */
export async function checkPhone(page, where) {
  const found = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const small = [...document.querySelectorAll("main button, main select, main summary, main .row h3 a, [role=slider]")]
      .filter((e) => e.checkVisibility({ checkVisibilityCSS: true }))
      .map((e) => {
        const box = (e.closest(".row") ?? e).getBoundingClientRect();
        return [e.getAttribute("aria-label") ?? e.textContent.trim(), Math.round(box.width), Math.round(box.height)];
      })
      .filter(([, w, h]) => w < 44 || h < 44);
    return { width, scroll: document.documentElement.scrollWidth, small };
  });
  expect(found.scroll <= found.width, `${where}: ${found.scroll} px of content in ${found.width} px`);
  expect(found.small.length === 0, `${where}: targets under 44 px: ${JSON.stringify(found.small)}`);
}

/** Checks WCAG AA contrast of all visible text on plain backgrounds. Returns the lowest ratio. */
export async function checkContrast(page, where) {
  const { low, least } = await page.evaluate(() => {
    const parse = (colour) => {
      const n = colour.match(/[\d.]+/g).map(Number);
      return { rgb: n.slice(0, 3), alpha: n[3] ?? 1 };
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const style = getComputedStyle(e);
        const colour = parse(style.backgroundColor);
        if (colour.alpha === 1) return colour.rgb;
        if (colour.alpha > 0 || style.backgroundImage !== "none") return null;
      }
      return null;
    };
    const low = [];
    let least = Infinity;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim();
      const element = walker.currentNode.parentElement;
      if (!text || !element.checkVisibility({ checkVisibilityCSS: true }) || element.closest("script, style, .visually-hidden, option, :disabled")) continue;
      const behind = background(element);
      if (!behind) continue;
      const style = getComputedStyle(element);
      const pair = [luminance(parse(style.color).rgb), luminance(behind)].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      const large = parseFloat(style.fontSize) >= 24;
      least = Math.min(least, ratio);
      if (ratio < (large ? 3 : 4.5)) low.push(`"${text.slice(0, 30)}" ${ratio.toFixed(2)}`);
    }
    return { low, least };
  });
  expect(low.length === 0, `${where}: contrast too low: ${low.slice(0, 5).join("; ")}`);
  return Number(least.toFixed(2));
}
