// The list page: what has been recorded, found by title and state, kept up to date by itself.
import "./operator.js";
import "./theme-toggle.js";
import "./recordings.js";
import { Watched, json, poll } from "./api.js";
import { announce } from "./dom.js";
import { showTrouble } from "./trouble.js";
import { showWelcome } from "./welcome.js";
import { isOpen } from "./words-for.js";

const PAGE = 30;
const BUSY_MS = 3_000;
const QUIET_MS = 10_000;
const TYPING_MS = 200;

const byId = (id) => document.getElementById(id);

class ListPage {
  #list = byId("list");
  #filter = byId("filter");
  #older = byId("older");
  #watched = new Watched();
  #first = [];
  #rest = [];
  #next = null;
  #poll = null;
  #asked = "";
  #typing = null;
  #loaded = false;

  start() {
    this.#fromAddress();
    this.#filter.addEventListener("submit", (event) => event.preventDefault());
    this.#filter.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#filterChanged(), TYPING_MS);
    });
    this.#older.addEventListener("click", () => void this.#loadOlder());
    this.#asked = this.#query();
    this.#poll = poll(() => this.#refresh());
  }

  // The filter is part of the address, so that it can be kept and shared.
  #fromAddress() {
    const given = new URLSearchParams(location.search);
    this.#filter.elements.q.value = given.get("q") ?? "";
    const state = given.get("state") ?? "";
    for (const radio of this.#filter.elements.state) radio.checked = radio.value === state;
  }

  #query() {
    const query = new URLSearchParams();
    const text = this.#filter.elements.q.value.trim();
    const state = this.#filter.elements.state.value;
    if (text) query.set("q", text);
    if (state) query.set("state", state);
    return query.toString();
  }

  #filterChanged() {
    const query = this.#query();
    if (query === this.#asked) return;
    this.#asked = query;
    this.#rest = [];
    history.replaceState(null, "", query ? `/?${query}` : "/");
    this.#poll.nudge();
  }

  #path(cursor) {
    const query = new URLSearchParams(this.#asked);
    query.set("limit", String(PAGE));
    if (cursor) query.set("cursor", cursor);
    return `/api/recordings?${query}`;
  }

  async #refresh() {
    const asked = this.#asked;
    try {
      const page = await this.#watched.get(this.#path(null));
      if (asked !== this.#asked) return 0;
      if (page) this.#takeFirst(page);
      await this.#refreshOpenRest();
      this.#trouble(null);
    } catch (problem) {
      if (!this.#loaded) {
        byId("found").hidden = true;
        void showTrouble(byId("trouble"), problem);
        return null;
      }
      this.#trouble(problem.message);
    }
    return this.#all().some(moving) ? BUSY_MS : QUIET_MS;
  }

  #takeFirst(page) {
    this.#loaded = true;
    // What the first page pushes out stays on the list where older ones are shown.
    const now = new Set(page.items.map((item) => item.id));
    const kept = new Set(this.#rest.map((item) => item.id));
    if (this.#rest.length > 0) {
      const pushed = this.#first.filter((item) => !now.has(item.id) && !kept.has(item.id));
      this.#rest = [...pushed, ...this.#rest].filter((item) => !now.has(item.id));
    } else {
      this.#next = page.next;
    }
    this.#first = page.items;
    this.#render();
  }

  // Older recordings may still be running: each is asked for by itself.
  async #refreshOpenRest() {
    const open = this.#rest.filter(isOpen);
    if (open.length === 0) return;
    const fresh = await Promise.all(open.map((item) => json(`/api/recordings/${item.id}`)));
    const byIdentity = new Map(fresh.map((item) => [item.id, item]));
    this.#rest = this.#rest.map((item) => byIdentity.get(item.id) ?? item);
    this.#render();
  }

  async #loadOlder() {
    this.#older.disabled = true;
    try {
      const page = await json(this.#path(this.#next));
      const known = new Set(this.#all().map((item) => item.id));
      const added = page.items.filter((item) => !known.has(item.id));
      this.#rest.push(...added);
      this.#next = page.next;
      this.#render();
      announce(`${added.length} older recordings`);
    } catch (problem) {
      this.#trouble(problem.message);
    } finally {
      this.#older.disabled = false;
    }
  }

  #all() {
    return [...this.#first, ...this.#rest];
  }

  #render() {
    const all = this.#all();
    const empty = all.length === 0;
    const newcomer = empty && this.#asked === "";
    byId("found").hidden = newcomer;
    byId("welcome").hidden = !newcomer;
    if (newcomer) showWelcome(byId("welcome"));
    byId("nothing").hidden = !empty;
    byId("nothing").textContent = empty ? "Nothing matches. Try other words, or show all." : "";
    this.#older.hidden = this.#next === null;
    this.#list.show(all, new Date());
  }

  #trouble(text) {
    const line = byId("list-trouble");
    line.hidden = text === null;
    if (line.textContent !== (text ?? "")) line.textContent = text ?? "";
  }
}

// Whether a recording will look different soon.
const moving = (recording) =>
  isOpen(recording) || ["ready", "running"].includes(recording.transcribing?.state);

new ListPage().start();
