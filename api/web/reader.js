// What stands round the transcript: where its making is, who made it, what is hidden, and what to
// say where there are no words.
import { h, setText } from "./dom.js";
import { isOpen, transcriptState } from "./words-for.js";

const DEMO = "roomtape-demo";

export class Reader {
  #root;
  #view;
  #toggle;

  constructor(root, view) {
    this.#root = root;
    this.#view = view;
    this.#toggle = root.querySelector("#hidden-toggle");
    this.#toggle.addEventListener("click", () => this.#showHidden());
  }

  #part(id) {
    return this.#root.querySelector(`#${id}`);
  }

  render(recording, transcript) {
    const weights = transcript?.weights ?? recording.transcript?.weights ?? "";
    this.#part("demo-note").hidden = !weights.startsWith(DEMO);
    this.#progress(recording, transcript);
    this.#hidden();
    this.#noWords(recording, transcript);
    this.#part("find").hidden = this.#view.words.length === 0;
  }

  #progress(recording, transcript) {
    const state = transcriptState(recording);
    const working = state.share !== undefined;
    this.#part("progress-note").hidden = !working;
    if (!working) return;
    const better = transcript?.version === 0 ? "The words made while live are shown until then. " : "";
    setText(this.#part("progress-text"), `${state.text}. ${better}`.trim());
    const bar = this.#part("progress");
    if (state.share === null) bar.removeAttribute("value");
    else bar.value = state.share;
  }

  #hidden() {
    const count = this.#view.hiddenCount;
    this.#part("hidden-note").hidden = count === 0;
    const what = count === 1 ? "1 passage is hidden because its words" : `${count} passages are hidden because their words`;
    setText(this.#part("hidden-text"), `${what} are doubtful.`);
  }

  #showHidden() {
    const show = this.#view.classList.toggle("show-hidden");
    this.#toggle.setAttribute("aria-pressed", String(show));
    setText(this.#toggle, show ? "Hide again" : "Show");
  }

  #noWords(recording, transcript) {
    const box = this.#part("no-words");
    box.hidden = this.#view.words.length > 0 || this.#view.hiddenCount > 0;
    if (box.hidden) return;
    const [title, text] = why(recording, transcript);
    if (box.dataset.why === title) return;
    box.dataset.why = title;
    box.replaceChildren(h("p", { class: "no-words-title" }, title), h("p", {}, text));
  }
}

// Why there are no words: a title and what follows from it.
function why(recording, transcript) {
  if (recording.state === "failed") return ["The file could not be read", "Nothing of it was kept. Check the file and import it again."];
  if (recording.state === "importing") return ["The file is being read", "Its words come once all of it has been read."];
  if (!isOpen(recording) && recording.duration_ms === 0) return ["Nothing was recorded", "It ended before any sound came."];
  if (isOpen(recording)) return ["Listening for the first words", "They appear here a few seconds after they have been said."];
  if (recording.transcribing?.state === "dead") return ["The words could not be made", "The sound is complete and plays. The job can be tried again by the operator."];
  if (["ready", "running"].includes(recording.transcribing?.state)) return ["The words are on their way", "You can listen already. They appear here by themselves."];
  if (transcript?.state === "complete") return ["Nobody speaks in this recording", "All of it was listened to, and no speech was found."];
  return ["No transcript yet", "The sound plays. No job for its words is waiting."];
}
