// What the host of a live recording may do: pause, resume and end it.
import { json } from "./api.js";
import { announce, setText, toast } from "./dom.js";
import { operator } from "./operator.js";

export class Host {
  #root;
  #base;
  #changed;
  #pause;
  #note;
  #state = null;
  #may = false;

  /** `changed()` is called once something has been done. */
  constructor(root, dialog, id, changed) {
    this.#root = root;
    this.#base = `/api/recordings/${id}`;
    this.#changed = changed;
    this.#pause = root.querySelector('[data-do="pause"]');
    this.#note = root.querySelector(".host-note");
    void operator.then(({ is }) => {
      this.#may = is;
      this.#show();
    });
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
    this.#show();
    setText(this.#pause, recording.state === "paused" ? "Resume recording" : "Pause recording");
    const asked = { pause: "Pausing…", resume: "Resuming…", end: "Ending…" }[recording.request];
    setText(this.#note, asked ?? "");
  }

  #show() {
    this.#root.hidden = !this.#may || !["live", "paused"].includes(this.#state);
  }

  async #ask(what) {
    const buttons = this.#root.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      await json(`${this.#base}/${what}`, { method: "POST" });
      announce({ pause: "Recording paused", resume: "Recording again", end: "Recording ended" }[what]);
    } catch (problem) {
      toast(problem.message);
    } finally {
      for (const button of buttons) button.disabled = false;
      this.#changed();
    }
  }
}
