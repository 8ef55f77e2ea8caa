// Times as people read and hear them. Everything here takes integer milliseconds.

const two = (n) => String(n).padStart(2, "0");

const parts = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
};

/** `h:mm:ss`, or `m:ss` below an hour. */
export function clock(ms) {
  const [hours, minutes, seconds] = parts(ms);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** `1 hour 2 minutes 3 seconds`, for those who hear the page. */
export function spoken(ms) {
  const names = ["hour", "minute", "second"];
  const said = parts(ms)
    .map((n, i) => (n === 0 ? null : `${n} ${names[i]}${n === 1 ? "" : "s"}`))
    .filter(Boolean);
  return said.length > 0 ? said.join(" ") : "0 seconds";
}

/** The length of a gap: `240 ms`, `9.0 s`, `1:03`. */
export function shortLength(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return clock(ms);
}

/** Bytes, in the units that file managers use. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString(undefined, { maximumFractionDigits: value < 10 && unit > 1 ? 1 : 0 })} ${units[unit]}`;
}

const timeOnly = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const longDate = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** The time of day in the reader's own way. */
export const timeOfDay = (rfc3339) => timeOnly.format(new Date(rfc3339));
/** Date and time in the reader's own way. */
export const dateTime = (rfc3339) => dateAndTime.format(new Date(rfc3339));
/** The same with the weekday, for titles. */
export const fullDateTime = (rfc3339) => longDate.format(new Date(rfc3339));

/** Days between two dates by the calendar, not by 24 hours. */
export function daysBetween(earlier, later) {
  const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate());
  return Math.round((midnight(later) - midnight(earlier)) / 86_400_000);
}

/** The name of the day `rfc3339` falls on, as seen `now`: today, yesterday, a weekday, or a month. */
export function dayName(rfc3339, now) {
  const date = new Date(rfc3339);
  const days = daysBetween(date, now);
  if (days >= 0 && days < 2) return capital(relative.format(-days, "day"));
  if (days >= 2 && days < 7) return date.toLocaleDateString(undefined, { weekday: "long" });
  return date.toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

/** Whole percent of `done` in `total`. */
export const percent = (done, total) =>
  total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : 0;
