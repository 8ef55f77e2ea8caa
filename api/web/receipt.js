// What is proven of a recording: how much is kept, what is missing and why, and who vouches for it.
import { downloadLinks } from "./details.js";
import { h } from "./dom.js";
import { clock, dateTime, shortLength } from "./format.js";
import { cause, isOpen } from "./words-for.js";

/** The media time lost to each cause: `[text, milliseconds]`, the most first. */
export function losses(gaps) {
  const sums = new Map();
  for (const gap of gaps) {
    if (gap.duration_ms > 0) sums.set(cause(gap), (sums.get(cause(gap)) ?? 0) + gap.duration_ms);
  }
  return [...sums].sort((a, b) => b[1] - a[1]);
}

/** How much is kept, in one sentence. */
export function keptText(recording) {
  const lost = losses(recording.gaps).reduce((sum, [, ms]) => sum + ms, 0);
  if (lost === 0) return `All ${clock(recording.duration_ms)} are kept.`;
  const kept = clock(Math.max(0, recording.duration_ms - lost));
  return `${kept} of ${clock(recording.duration_ms)} are kept; ${shortLength(lost)} are missing.`;
}

/** Everything the box shows; nothing while the recording goes on. */
export function receiptBox(recording) {
  const { receipt } = recording;
  if (isOpen(recording) || recording.state === "failed") return [];
  if (!receipt) return [h("p", { class: "fine" }, "The receipt has not been made yet.")];
  const missing = losses(recording.gaps).map(([text, ms]) => h("li", {}, `${shortLength(ms)} missing: ${text}`));
  const pairs = [
    ["Chunks", String(receipt.chunks)],
    ["Root", `${receipt.root.slice(0, 16)}…`],
    ["Signed by", receipt.signed_by ?? "nobody"],
    ["Made", dateTime(receipt.made_at)],
    ["Number", receipt.number > 1 ? `${receipt.number}: the sound has changed since the first` : null],
  ];
  const files = [["JSON", "receipt.json", "what was kept, chunk by chunk"]];
  if (receipt.signed_by) files.push(["SIG", "receipt.sig", "its signature"]);
  return [
    h("p", {}, keptText(recording)),
    ...(missing.length > 0 ? [h("ul", { class: "fine" }, ...missing)] : []),
    h("dl", { class: "facts" }, ...pairs.filter(([, text]) => text).flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
    h("ul", { class: "download-list" }, ...downloadLinks(recording, files)),
  ];
}
