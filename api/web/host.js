// What the host of a live recording may do: pause, resume and end it.
import { json, useToken } from "./api.js";
import { announce, setText, toast } from "./dom.js";

export class Host {
  #root;
  #base;
  #changed;
  #pause;
  #note;
  #state = null;

  /** `changed()` is called once something has been done. */
  constructor(root, dialog, id, changed) {
    this.#root = root;
    this.#base = `/api/recordings/${id}`;
    this.#changed = changed;
    this.#pause = root.querySelector('[data-do="pause"]');
    this.#note = root.querySelector(".host-note");
    this.#pause.addEventListener("click", () => {
      void this.#ask(this.#state === "paused" ? "resume" : "pause");
    });
    root.querySelector('[data-do="end"]').addEventListener("click", () => dialog.showModal());
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "end") void this.#ask("end");
      dialog.returnValue = "";
    });
  }

  render(recording) {
    this.#state = recording.state;
    this.#root.hidden = !["live", "paused"].includes(recording.state);
    setText(this.#pause, recording.state === "paused" ? "Resume recording" : "Pause recording");
    const asked = { pause: "Pausing…", resume: "Resuming…", end: "Ending…" }[recording.request];
    setText(this.#note, asked ?? "");
  }

  async #ask(what) {
    const buttons = this.#root.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      await json(`${this.#base}/${what}`, { method: "POST" });
      announce({ pause: "Recording paused", resume: "Recording again", end: "Recording ended" }[what]);
    } catch (problem) {
      if (problem.status === 401) this.#askForToken(what);
      else toast(problem.message);
    } finally {
      for (const button of buttons) button.disabled = false;
      this.#changed();
    }
  }

  // The token, then the same again.
  #askForToken(what) {
    const dialog = document.getElementById("token-dialog");
    const field = dialog.querySelector("input");
    field.value = "";
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue !== "use" || field.value.trim() === "") return;
        useToken(field.value.trim());
        void this.#ask(what);
      },
      { once: true },
    );
    dialog.showModal();
  }
}
