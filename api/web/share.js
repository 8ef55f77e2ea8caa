// Links to a moment: `#t=seconds`, or `#t=1:02:03`.
import { copy, toast } from "./dom.js";
import { clock } from "./format.js";

/** The time in `hash` in ms, or `null`. */
export function timeIn(hash) {
  const match = /^#t=((?:\d+:){0,2}\d+(?:\.\d+)?)s?$/.exec(hash);
  if (!match) return null;
  const seconds = match[1].split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return Math.round(seconds * 1000);
}

/** The address of this page at `ms`. */
export const addressAt = (ms) => `${location.origin}${location.pathname}#t=${(ms / 1000).toFixed(1)}`;

/** Copies a link to `ms`. */
export async function shareAt(ms) {
  const address = addressAt(ms);
  if (await copy(address)) toast(`Link to ${clock(ms)} copied`);
  else prompt("Copy this link", address);
}
