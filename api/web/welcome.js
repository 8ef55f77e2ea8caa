// What a newcomer sees while nothing has been recorded: the ways to begin, ready to copy.
import { copy, h, icon, toast } from "./dom.js";

const DEMO = "roomtape demo";
const IMPORT = "roomtape import talk.mp3";

const makeRoom = () =>
  [
    `curl -X POST ${location.origin}/api/rooms \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '{"slug":"town-hall","title":"Town hall","source_key":"auto"}'`,
  ].join("\n");

const stream = () =>
  [
    "ffmpeg -re -i talk.mp3 -c:a libopus -f ogg -content_type audio/ogg \\",
    `  icecast://source:SOURCE_KEY@${location.hostname}:8091/town-hall`,
  ].join("\n");

/** Fills `section` once. */
export function showWelcome(section) {
  if (section.childElementCount > 0) return;
  section.append(
    h("h1", {}, "Nothing recorded yet"),
    h("p", { class: "lead" }, "Live rooms appear here as soon as they are recorded, with their words. There are three ways to begin."),
    h(
      "ol",
      { class: "ways" },
      way("See it work", "Plays a bundled conversation as a live room, then shows its replay.", [DEMO]),
      way("Bring a file", "MP3, M4A, WAV, FLAC, Ogg Opus or Vorbis; several at once if you like.", [IMPORT]),
      way("Stream a room", "Make a room; the answer names its source key once. Then point any Icecast source at it.", [makeRoom(), stream()]),
    ),
  );
}

const way = (title, text, commands) =>
  h("li", {}, h("h2", {}, title), h("p", {}, text), ...commands.map(command));

function command(text) {
  const button = h("button", { type: "button", class: "icon-button", "aria-label": "Copy this command", title: "Copy" }, icon("copy"));
  button.addEventListener("click", async () => {
    toast((await copy(text)) ? "Copied" : "Could not be copied");
  });
  return h("div", { class: "command" }, h("pre", { tabindex: "0" }, h("code", {}, text)), button);
}
