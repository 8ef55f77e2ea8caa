// The page's own words for the states and causes that the server names.
import { clock, percent, shortLength } from "./format.js";

const CAUSES = {
  loss: "Packets were lost on the way",
  source_away: "The source went away and came back",
  down: "The recorder was not running",
  paused: "The host paused the recording",
  broken: "The audio could not be read",
  no_space: "The recorder’s disk was full",
};

/** Why no audio was kept. */
export const cause = (gap) => CAUSES[gap.cause] ?? "No audio arrived";

/** How much is missing; for a pause, in which media time stands still, the time on the wall. */
export const gapLength = (gap) =>
  gap.duration_ms > 0 ? `${shortLength(gap.duration_ms)} missing` : `Paused for ${shortLength(gap.wall_ms)}`;

const REASONS = {
  silence: "nobody seemed to speak",
  loop: "the same words came again and again",
  low_confidence: "the engine was guessing",
  phantom: "engines are known to make this phrase up",
};

/** Why a segment is hidden. */
export const reason = (suppressed) => REASONS[suppressed] ?? String(suppressed).replaceAll("_", " ");

const ENDS = {
  host: "Ended by the host",
  source_away: "Ended when the source stayed away",
  imported: "Imported from a file",
  unreadable: "The file could not be read",
};

/** Why a recording ended. */
export const endReason = (name) => ENDS[name] ?? null;

const ORIGINS = { rtp: "RTP", icecast: "Icecast", import: "Imported file", pending: "Waiting for a source" };

/** How the audio reached the recorder. */
export const origin = (name) => ORIGINS[name] ?? name;

/** The badge of a recording's state; `null` where nothing needs to be said. */
export function badge(recording) {
  switch (recording.state) {
    case "live":
      return { kind: "live", text: "Recording" };
    case "paused":
      return { kind: "paused", text: "Paused" };
    case "importing":
      return { kind: "busy", text: "Importing" };
    case "failed":
      return { kind: "failed", text: "Failed" };
    default:
      return null;
  }
}

/** Whether more audio may come. */
export const isOpen = (recording) => ["live", "paused", "importing"].includes(recording.state);

/** Where the words of a recording stand: a text and, while they are made, a share of 100. */
export function transcriptState(recording) {
  const { transcript, transcribing, state } = recording;
  if (state === "failed") return { text: "Nothing could be read from the file" };
  if ((state === "live" || state === "paused") && transcript) return { text: "Words as they come" };
  if (transcribing?.state === "running") {
    const share = percent(transcribing.done_ms, transcribing.total_ms);
    return { text: `Transcribing, ${share} %`, share };
  }
  if (transcribing?.state === "ready") return { text: "Waiting to be transcribed", share: null };
  if (transcript?.state === "complete") return { text: "Transcript ready", ready: true };
  if (transcribing?.state === "dead") return { text: "Could not be transcribed" };
  if (transcript) return { text: `Words up to ${clock(transcript.covered_ms)}` };
  return { text: isOpen(recording) ? "No words yet" : "No transcript" };
}
