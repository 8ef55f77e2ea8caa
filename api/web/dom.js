// Making elements. Text goes in as text nodes only: titles and transcripts are strangers' words.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children. An attribute that is `null`, `undefined` or `false` is
 * left out, `true` becomes an empty one. A string child becomes a text node.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An icon of the sprite; decoration only, so the control that holds it needs a name of its own. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/web/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Changes which icon `holder` shows. */
export function setIcon(holder, name) {
  const use = holder.querySelector("use");
  const href = `/web/icons.svg#${name}`;
  if (use && use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** Sets text only where it differs, so that nothing is announced or laid out again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tells a screen reader about a change of state, politely, and shows nothing. */
export function announce(text) {
  const region = document.getElementById("status");
  if (region) region.textContent = text;
}

/** Shows a short note that goes by itself, and announces it. */
export function toast(text) {
  announce(text);
  const note = document.getElementById("toast");
  if (!note) return;
  note.textContent = text;
  note.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => {
    note.hidden = true;
  }, 2600);
}

/** Copies text; says whether it could. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// The clipboard interface needs a secure context; a server on the local network has none.
function copyBySelection(text) {
  const field = h("textarea", { class: "visually-hidden", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    done = false;
  }
  field.remove();
  return done;
}
