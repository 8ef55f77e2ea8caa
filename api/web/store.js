// What this browser remembers of its reader's choices. Storage may be full or forbidden: then
// nothing is remembered, and nothing else changes.

/** Keeps `value` under `key`. */
export function remember(key, value) {
  try {
    localStorage.setItem(`roomtape.${key}`, String(value));
  } catch {
    // Not remembered.
  }
}

/** The string kept under `key`, or `otherwise`. */
export function recall(key, otherwise = null) {
  try {
    return localStorage.getItem(`roomtape.${key}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}
