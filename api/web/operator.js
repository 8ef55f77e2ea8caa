// <rt-operator>: where the server has an operator's token, the way to give it and to take it back.
// Nothing at all where it has none: then everyone who reaches the server is the operator.
import { forgetToken, json, token, useToken } from "./api.js";
import { h } from "./dom.js";

async function ask() {
  try {
    await json("/api/jobs?limit=1");
    return { is: true, locked: false };
  } catch (problem) {
    return { is: false, locked: problem.status === 401 };
  }
}

/** `{is, locked}`: whether we may do what the operator may, and whether a token would let us. */
export const operator = ask();

// A form that takes the token and opens the page anew.
function tokenForm() {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const form = h(
    "form",
    { class: "token-form" },
    h("label", { for: "token" }, "Operator’s token"),
    field,
    h("button", { class: "button" }, "Open"),
    h("p", { class: "fine" }, "It is kept until this tab is closed."),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useToken(field.value.trim());
    location.reload();
  });
  return form;
}

class OperatorSign extends HTMLElement {
  async connectedCallback() {
    const { is, locked } = await operator;
    if (is && token() !== null) this.append(this.#leave());
    else if (locked) this.append(this.#enter());
  }

  #leave() {
    const button = h("button", { type: "button", class: "text-button" }, "Sign out");
    button.addEventListener("click", () => {
      forgetToken();
      location.reload();
    });
    return button;
  }

  #enter() {
    const button = h("button", { type: "button", class: "text-button", "aria-haspopup": "dialog" }, "Operator");
    button.addEventListener("click", () => this.#dialog().showModal());
    return button;
  }

  #dialog() {
    this.dialog ??= h("dialog", { class: "dialog", "aria-labelledby": "operator-title" }, h("h2", { id: "operator-title" }, "For the operator"), tokenForm());
    if (!this.dialog.isConnected) document.body.append(this.dialog);
    return this.dialog;
  }
}

customElements.define("rt-operator", OperatorSign);
