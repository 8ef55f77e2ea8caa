// The replay page: opens one recording and ties player, words and facts together.
import "./operator.js";
import "./theme-toggle.js";
import "./seek-bar.js";
import "./captions.js";
import "./transcript.js";
import { Corrections } from "./corrections.js";
import { announce, setText } from "./dom.js";
import { downloadList, facts, gapList } from "./details.js";
import { EditList } from "./edit-list.js";
import { Feed } from "./feed.js";
import { Find } from "./find.js";
import { Follow } from "./follow.js";
import { clock, fullDateTime } from "./format.js";
import { Host } from "./host.js";
import { listen } from "./keys.js";
import { announceTo } from "./media-session.js";
import { Playback } from "./playback.js";
import { Reader } from "./reader.js";
import { receiptBox } from "./receipt.js";
import { shareAt, timeIn } from "./share.js";
import { Transport } from "./transport.js";
import { showTrouble } from "./trouble.js";
import { Versions } from "./versions.js";
import { badge, cause, gapLength, isOpen } from "./words-for.js";

const byId = (id) => document.getElementById(id);

class ReplayPage {
  #feed;
  #playback = new Playback(byId("audio"));
  #transport = new Transport(byId("player"), this.#playback);
  #bar = document.querySelector("rt-seek-bar");
  #captions = document.querySelector("rt-captions");
  #view = document.querySelector("rt-transcript");
  #follow = new Follow(byId("back-to-now"), byId("player"));
  #reader = new Reader(byId("transcript"), this.#view);
  #find = new Find(byId("find"), this.#view, {
    found: (times) => (this.#bar.hits = times),
    shown: () => this.#follow.leave(),
    position: () => this.#playback.position,
  });
  #host;
  #corrections;
  #edits;
  #versions;
  #segments = [];
  // What was last shown, so that nothing is made again for nothing.
  #gaps = null;
  #detailsKey = null;
  #pending = null;
  // The version of the words whose coming was told.
  #announced = null;
  #begun = timeIn(location.hash) !== null;

  constructor(id) {
    this.#feed = new Feed(id);
    this.#host = new Host(byId("host"), byId("end-dialog"), id, () => this.#feed.nudge());
    const hear = (ms) => {
      this.#playback.seek(Math.max(0, ms - 700));
      if (!this.#playback.playing) this.#playback.toggle();
    };
    this.#corrections = new Corrections(byId("transcript"), this.#view, this.#feed, id, { opened: () => this.#follow.leave(), hear });
    this.#edits = new EditList(document, this.#feed, id, { go: (ms) => this.#reveal(ms) });
    this.#versions = new Versions(document, this.#feed, id, (ms) => this.#seek(ms));
  }

  async open() {
    let recording;
    try {
      recording = await this.#feed.open();
    } catch (problem) {
      void showTrouble(byId("trouble"), problem);
      return;
    }
    byId("replay").hidden = false;
    this.#wire();
    this.#render(recording);
    this.#reader.render(recording, null);
    announceTo(recording, this.#playback, this.#transport);
    this.#bar.setWords(this.#view.words);
    this.#feed.start();
    if (isOpen(recording) || recording.duration_ms > 0) {
      await this.#playback.open(recording, timeIn(location.hash));
    }
    this.#frame();
  }

  #wire() {
    const seek = (event) => this.#seek(event.detail);
    this.#bar.addEventListener("seek", seek);
    this.#view.addEventListener("seek", seek);
    this.#bar.describe = (ms) => this.#describe(ms);
    this.#wirePlayback();
    this.#feed.addEventListener("recording", () => this.#changed());
    this.#feed.addEventListener("words", (event) => this.#words(event.detail));
    this.#feed.addEventListener("trouble", (event) => this.#trouble(event.detail));
    addEventListener("hashchange", () => {
      const at = timeIn(location.hash);
      if (at !== null) this.#seek(at);
    });
    byId("share").addEventListener("click", () => this.#share());
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    this.#wireKeys();
    this.#watchDock();
    openDetailsWhenWide();
  }

  #wirePlayback() {
    const listenTo = (type, act) => this.#playback.addEventListener(type, act);
    listenTo("change", () => this.#frame());
    listenTo("seeked", () => this.#frame());
    listenTo("length", () => this.#lengthChanged());
    listenTo("finished", () => this.#finished());
    listenTo("trouble", (event) => this.#trouble(event.detail));
  }

  #wireKeys() {
    listen({
      toggle: () => this.#playback.toggle(),
      back: () => this.#transport.skip(-1),
      forward: () => this.#transport.skip(1),
      slower: () => this.#transport.changeRate(-1),
      faster: () => this.#transport.changeRate(1),
      captions: () => this.#transport.toggleCaptions(),
      find: () => this.#find.focus(),
      now: () => this.#follow.resume(),
      share: () => this.#share(),
      edit: () => this.#corrections.toggle(),
      help: () => byId("help").showModal(),
    });
  }

  // The dock covers the lower end of the window: the page ends above it.
  #watchDock() {
    const dock = byId("player");
    const measure = () => document.documentElement.style.setProperty("--dock", `${dock.offsetHeight}px`);
    new ResizeObserver(measure).observe(dock);
  }

  #seek(ms) {
    this.#begun = true;
    this.#playback.seek(ms);
    this.#follow.resume();
  }

  // Shows what is said at `ms` and leaves the player where it is.
  #reveal(ms) {
    this.#follow.leave();
    const word = this.#view.words.begunAt(ms);
    if (word >= 0) this.#view.wordElement(word).scrollIntoView({ block: "center", behavior: "instant" });
  }

  #share() {
    void shareAt(this.#playback.position);
  }

  // What the server says --------------------------------------------------------------------------

  #changed() {
    const { recording } = this.#feed;
    this.#playback.update(recording);
    this.#render(recording);
    this.#reader.render(recording, this.#feed.transcript);
  }

  #render(recording) {
    setText(byId("title"), recording.title);
    document.title = `${recording.state === "live" ? "● " : ""}${recording.title} · Roomtape`;
    setText(byId("room"), [recording.room.title, recording.room.host && `hosted by ${recording.room.host}`].filter(Boolean).join(" · "));
    const shown = badge(recording);
    byId("badge").hidden = shown === null;
    byId("badge").className = `badge ${shown?.kind ?? ""}`;
    setText(byId("badge"), shown?.text ?? "");
    const when = recording.started_at ?? recording.created_at;
    byId("when").dateTime = when;
    setText(byId("when"), fullDateTime(when));
    byId("player").hidden = !isOpen(recording) && recording.duration_ms === 0;
    byId("player-note").hidden = recording.state !== "paused";
    this.#host.render(recording);
    void this.#versions.render(recording);
    this.#renderGaps(recording.gaps);
    this.#renderDetails(recording);
    this.#lengthChanged();
  }

  #renderGaps(gaps) {
    const known = JSON.stringify(gaps);
    if (known === this.#gaps) return;
    const first = this.#gaps === null;
    this.#gaps = known;
    this.#bar.gaps = gaps;
    byId("gaps-box").hidden = gaps.length === 0;
    setText(byId("gap-count"), String(gaps.length));
    byId("gaps").replaceChildren(...gapList(gaps, (ms) => this.#seek(ms)));
    if (!first) this.#rebuild();
  }

  #renderDetails(recording) {
    const transcript = this.#feed.transcript;
    const key = JSON.stringify([recording, transcript?.version, transcript?.state]);
    if (key === this.#detailsKey) return;
    this.#detailsKey = key;
    byId("downloads").replaceChildren(...downloadList(recording, transcript));
    byId("downloads-note").hidden = !isOpen(recording);
    byId("downloads-box").hidden = recording.duration_ms === 0 && !isOpen(recording);
    byId("facts").replaceChildren(...facts(recording, transcript));
    const receipt = receiptBox(recording);
    byId("receipt").replaceChildren(...receipt);
    byId("receipt-box").hidden = receipt.length === 0;
  }

  #lengthChanged() {
    const { recording } = this.#feed;
    const { length } = this.#playback;
    const so = isOpen(recording) ? " so far" : "";
    const ms = Math.max(length, recording.duration_ms);
    setText(byId("length"), ms > 0 ? `${clock(ms)}${so}` : "");
    this.#bar.length = ms;
    this.#bar.buffered = this.#playback.buffered;
    this.#tick();
  }

  #finished() {
    announce("The recording has ended. This is now its replay.");
    this.#feed.nudge();
  }

  #trouble(text) {
    const line = byId("player-trouble");
    line.hidden = text === null;
    setText(line, text ?? "");
  }

  // The words -----------------------------------------------------------------------------------

  #words({ reset, segments, transcript }) {
    if (reset) this.#segments = [];
    for (const segment of segments) this.#segments.push(segment);
    if (reset) {
      this.#rebuild();
    } else if (segments.length > 0) {
      this.#view.add(segments, transcript.covered_ms);
      this.#captions.add(segments);
      this.#find.update();
      this.#bar.setWords(this.#view.words);
    }
    const ready = transcript.version > 0 && transcript.state === "complete";
    if (reset && ready && this.#announced !== transcript.version) {
      this.#announced = transcript.version;
      announce("The transcript is ready.");
    }
    const { recording } = this.#feed;
    this.#reader.render(recording, transcript);
    this.#renderDetails(recording);
    this.#edits.render();
    void this.#versions.render(recording);
    this.#corrections.refreshed();
    this.#tick();
  }

  // All of the words anew, for another version or when a gap has come to light.
  #rebuild() {
    const { transcript, recording } = this.#feed;
    if (!transcript) return;
    this.#view.reset(recording.gaps, transcript.edits);
    this.#view.add(this.#segments, transcript.covered_ms);
    this.#captions.reset();
    this.#captions.add(this.#segments);
    this.#find.reset();
    this.#bar.setWords(this.#view.words);
  }

  // What is at `ms`, for whoever points at it.
  #describe(ms) {
    const { gaps } = this.#feed.recording;
    const near = this.#bar.clientWidth > 0 ? (4 * this.#playback.length) / this.#bar.clientWidth : 0;
    const gap = gaps.find((g) => ms >= g.start_ms - near && ms <= g.start_ms + g.duration_ms + near);
    if (gap) return { kind: "gap", text: `${gapLength(gap)}: ${cause(gap)}` };
    const { words } = this.#view;
    const index = words.begunAt(ms);
    if (index < 0 || ms - words.end(index) > 4_000) return null;
    return { kind: "words", text: words.texts.slice(Math.max(0, index - 2), index + 6).join(" ") };
  }

  // The clock -----------------------------------------------------------------------------------

  // While it plays, once a frame; otherwise once for each change.
  #frame() {
    cancelAnimationFrame(this.#pending);
    this.#tick();
    if (this.#playback.playing) this.#pending = requestAnimationFrame(() => this.#frame());
  }

  #tick() {
    const ms = this.#playback.position;
    this.#transport.tick();
    this.#bar.position = ms;
    if (!this.#playback.exact) return;
    this.#captions.at(ms);
    const element = this.#view.light(ms);
    // Before anybody has begun to listen, the page stays at its top.
    this.#begun ||= this.#playback.playing;
    this.#follow.at(this.#begun ? element : null);
  }
}

// Beside the words there is room for everything; above them there is not.
function openDetailsWhenWide() {
  const wide = matchMedia("(min-width: 68rem)").matches;
  for (const box of document.querySelectorAll(".beside details")) box.open = wide;
}

const id = decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1) ?? "");
void new ReplayPage(id).open();
