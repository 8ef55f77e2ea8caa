// Keyboard keys of the replay page. Keys that a focused control understands stay its own.

/** Whether typing a letter, or Space, belongs to the element itself. */
function claims(element, key) {
  if (element.closest("input, textarea, select, dialog[open]")) return true;
  if (key !== " " && key !== "Enter") return false;
  return element.closest("button, a, summary") !== null;
}

/** Calls `actions[name]` for the keys of the page. */
export function listen(actions) {
  const keys = {
    " ": actions.toggle,
    k: actions.toggle,
    j: actions.back,
    ArrowLeft: actions.back,
    l: actions.forward,
    ArrowRight: actions.forward,
    "<": actions.slower,
    ">": actions.faster,
    c: actions.captions,
    e: actions.edit,
    f: actions.find,
    n: actions.now,
    s: actions.share,
    "?": actions.help,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = keys[key];
    if (!action || claims(event.target, event.key)) return;
    event.preventDefault();
    action();
  });
}
