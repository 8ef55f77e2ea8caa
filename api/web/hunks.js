// Runs of words that two versions share or do not → the places where they differ, each with a few
// words round it. Pure.

/** So many shared words stand round what differs. */
const CONTEXT = 8;

/** Hunks `{start_ms, parts: [{kind, text}]}`; shared words that are left out are told by “…”. */
export function hunksOf(runs) {
  const hunks = [];
  let open = null;
  let before = null;
  for (const run of runs) {
    if (run.kind !== "equal") {
      if (!open) {
        open = { start_ms: run.start_ms, parts: before ? [{ kind: "equal", text: last(before) }] : [] };
        hunks.push(open);
      }
      open.parts.push({ kind: run.kind, text: run.text });
      continue;
    }
    if (open && run.words <= 2 * CONTEXT) open.parts.push({ kind: "equal", text: run.text });
    else if (open) {
      open.parts.push({ kind: "equal", text: first(run) });
      open = null;
    }
    before = run;
  }
  return hunks;
}

function first({ text, words }) {
  return words > CONTEXT ? `${text.split(" ").slice(0, CONTEXT).join(" ")} …` : text;
}

function last({ text, words }) {
  return words > CONTEXT ? `… ${text.split(" ").slice(-CONTEXT).join(" ")}` : text;
}
