// The server's JSON. One error type with the server's own code and words; conditional requests, so
// that polling costs nothing while nothing changes.

/** What went wrong with a request, in the words of the problem details (RFC 9457). */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const TOKEN = "roomtape.token";

/** The operator's token for this tab, where one has been given. */
export function token() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

/** Keeps the operator's token until the tab closes. */
export function useToken(value) {
  try {
    sessionStorage.setItem(TOKEN, value);
  } catch {
    // Asked for again next time.
  }
}

/** Forgets the operator's token. */
export function forgetToken() {
  try {
    sessionStorage.removeItem(TOKEN);
  } catch {
    // There was none.
  }
}

const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** Fetches `path`; throws [`Problem`] for an error answer or none at all. */
export async function request(path, { method = "GET", headers = {}, body, signal } = {}) {
  let response;
  try {
    response = await fetch(path, { method, headers: { ...authorization(), ...headers }, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The server cannot be reached.");
  }
  if (response.ok || response.status === 304) return response;
  throw await problemOf(response);
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || problem.title || `The server answered ${response.status}.`;
  return new Problem(response.status, problem.code ?? `http_${response.status}`, message);
}

/** JSON of `path`. */
export async function json(path, options) {
  return (await request(path, options)).json();
}

/** A resource that is asked for again and again: `get` gives its JSON, or `null` where it has not changed. */
export class Watched {
  #path = null;
  #etag = null;

  async get(path, signal) {
    const same = path === this.#path && this.#etag;
    const headers = same ? { "If-None-Match": this.#etag } : {};
    const response = await request(path, { headers, signal });
    if (response.status === 304) return null;
    const value = await response.json();
    this.#path = path;
    this.#etag = response.headers.get("ETag");
    return value;
  }
}

/** Calls `step` again and again, waiting what it returned (ms), or never again after `null`. A
 * hidden page asks at most every ten seconds. `nudge()` calls at once. */
export function poll(step) {
  let timer = null;
  let stopped = false;
  let running = false;
  let asked = false;
  const run = async () => {
    if (stopped) return;
    // What has changed since the step that is under way began to look would go unseen.
    if (running) {
      asked = true;
      return;
    }
    running = true;
    clearTimeout(timer);
    let wait = 10_000;
    try {
      wait = await step();
    } finally {
      running = false;
    }
    if (asked) {
      asked = false;
      wait = 0;
    }
    if (wait === null || stopped) return;
    timer = setTimeout(run, document.hidden && wait > 0 ? Math.max(wait, 10_000) : wait);
  };
  const nudge = () => void run();
  document.addEventListener("visibilitychange", () => document.hidden || nudge());
  nudge();
  return {
    nudge,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
