// The page that stands where a recording cannot: not found, not for everyone, not reachable.
import { useToken } from "./api.js";
import { h } from "./dom.js";

const PAGES = {
  404: {
    title: "There is no such recording",
    text: "The address may be mistyped, or the recording has been removed.",
  },
  0: {
    title: "The recorder cannot be reached",
    text: "It may be restarting. Recordings are kept where they are; nothing is lost by waiting.",
  },
};

/** Fills `section` with what is known of `problem`. */
export function showTrouble(section, problem) {
  const asks = problem.status === 401 || problem.status === 403;
  const page = PAGES[problem.status === 400 ? 404 : problem.status] ?? {
    title: asks ? "This recording is not open to everyone" : "This recording cannot be shown",
    text: asks ? "Give the operator’s token to listen. It is kept until this tab is closed." : problem.message,
  };
  section.replaceChildren(
    h("p", { class: "trouble-code" }, problem.status ? String(problem.status) : "Offline"),
    h("h1", {}, page.title),
    h("p", {}, page.text),
    asks ? tokenForm() : actions(problem.status === 0),
  );
  section.hidden = false;
  document.title = `${page.title} · Roomtape`;
}

function actions(retry) {
  const again = h("button", { type: "button", class: "button" }, "Try again");
  again.addEventListener("click", () => location.reload());
  return h("p", { class: "actions" }, retry ? again : null, h("a", { class: "button", href: "/" }, "All recordings"));
}

function tokenForm() {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const form = h(
    "form",
    { class: "token-form" },
    h("label", { for: "token" }, "Operator’s token"),
    field,
    h("button", { class: "button" }, "Open"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(field.value.trim());
    location.reload();
  });
  return form;
}
