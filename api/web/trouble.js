// The page that stands where a recording cannot: not found, not for everyone, not reachable.
import { h } from "./dom.js";
import { operator } from "./operator.js";

const PAGES = {
  404: {
    title: "There is no such recording",
    text: "The address may be mistyped, the recording removed, or not open to everyone.",
  },
  401: {
    title: "The operator’s token is not right",
    text: "Nothing is shown with a wrong one.",
  },
  0: {
    title: "The recorder cannot be reached",
    text: "It may be restarting. Recordings are kept where they are; nothing is lost by waiting.",
  },
};

/** Fills `section` with what is known of `problem`. */
export async function showTrouble(section, problem) {
  const page = PAGES[problem.status === 400 ? 404 : problem.status] ?? {
    title: "This cannot be shown",
    text: problem.message,
  };
  document.title = `${page.title} · Roomtape`;
  // What is not for everyone is not even named: the operator may know better.
  const { locked } = await operator;
  section.replaceChildren(
    h("p", { class: "trouble-code" }, problem.status ? String(problem.status) : "Offline"),
    h("h1", {}, page.title),
    h("p", {}, page.text),
    locked ? h("p", {}, "If you are the operator, choose “Operator” above and give your token.") : "",
    actions(problem.status === 0),
  );
  section.hidden = false;
}

function actions(retry) {
  const again = h("button", { type: "button", class: "button" }, "Try again");
  again.addEventListener("click", () => location.reload());
  return h("p", { class: "actions" }, retry ? again : null, h("a", { class: "button", href: "/" }, "All recordings"));
}
