// What stands beside a recording: its gaps, its downloads, and how it was made.
import { request, token } from "./api.js";
import { h, toast } from "./dom.js";
import { clock, dateTime, size } from "./format.js";
import { cause, endReason, gapLength, isOpen, origin } from "./words-for.js";

/** The list of gaps; each entry goes to just before its gap. */
export function gapList(gaps, seek) {
  return gaps.map((gap) => {
    const button = h(
      "button",
      { type: "button", class: "gap-item" },
      h("span", { class: "gap-time" }, clock(gap.start_ms)),
      h("span", {}, h("strong", {}, gapLength(gap)), h("span", { class: "gap-cause" }, cause(gap))),
    );
    button.addEventListener("click", () => seek(Math.max(0, gap.start_ms - 2_000)));
    return h("li", {}, button);
  });
}

const wavBytes = (recording) => 44 + Math.round(recording.duration_ms * 48) * 2 * recording.channels;

/** Links to every form the recording can be had in now. */
export function downloadList(recording, transcript) {
  const files = [];
  if (!isOpen(recording) && recording.duration_ms > 0) {
    files.push(["MP4", "audio.mp4", `Opus as recorded, ${size(recording.bytes)}`]);
    files.push(["WAV", "audio.wav", `uncompressed, ${size(wavBytes(recording))}`]);
  }
  if (transcript) {
    files.push(["VTT", "transcript.vtt", "captions for the web"]);
    files.push(["SRT", "transcript.srt", "captions for video editors"]);
    files.push(["TXT", "transcript.txt", "plain text"]);
    files.push(["JSON", "transcript.json", "words with their times"]);
  }
  return downloadLinks(recording, files);
}

/** A link to each file of a recording: its kind, its name, and what it is. */
export function downloadLinks(recording, files) {
  const base = `/api/recordings/${recording.id}`;
  return files.map(([name, file, about]) => {
    const ending = file.startsWith("receipt") ? file : name.toLowerCase();
    const link = h("a", { href: `${base}/${file}`, download: `${fileName(recording.title)}.${ending}` },
      h("span", { class: "kind" }, name), h("span", { class: "about" }, about));
    link.addEventListener("click", (event) => token() && fetched(event, link));
    return h("li", {}, link);
  });
}

const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "recording";

// A link sends no token; where one is needed the file is fetched first.
async function fetched(event, link) {
  event.preventDefault();
  try {
    const blob = await (await request(link.href)).blob();
    const url = URL.createObjectURL(blob);
    const save = h("a", { href: url, download: link.download });
    save.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (problem) {
    toast(problem.message);
  }
}

/** Facts as pairs of a term and its text. */
export function facts(recording, transcript) {
  const pairs = [
    ["Started", recording.started_at && dateTime(recording.started_at)],
    ["Ended", recording.ended_at && dateTime(recording.ended_at)],
    ["Why it ended", endReason(recording.end_reason)],
    ["Came by", origin(recording.origin)],
    ["Source", recording.source],
    ["Kept", `${size(recording.bytes)}, ${recording.channels === 2 ? "stereo" : "mono"}`],
    ["Words by", transcript?.engine],
    ["Weights", transcript?.weights],
    ["Weights’ SHA-256", transcript?.weights_sha256?.slice(0, 16)],
    ["Transcript", transcript && versionText(transcript)],
  ];
  return pairs
    .filter(([, text]) => text)
    .flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]);
}

const versionText = ({ version, state }) => {
  const made = version === 0 ? "version 0, made while live" : `version ${version}`;
  return state === "running" ? `${made}, growing` : made;
};
