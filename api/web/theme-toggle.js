// <theme-toggle>: one button between light and dark; the choice is remembered, and the system's
// theme holds until there is one.
import { icon } from "./dom.js";
import { remember } from "./store.js";

const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
};

class ThemeToggle extends HTMLElement {
  connectedCallback() {
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "icon-button";
    this.button.addEventListener("click", () => this.toggle());
    system.addEventListener("change", () => this.render());
    this.append(this.button);
    this.render();
  }

  toggle() {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    remember("theme", next);
    this.render();
  }

  render() {
    const dark = isDark();
    this.button.setAttribute("aria-label", dark ? "Use the light theme" : "Use the dark theme");
    this.button.title = this.button.getAttribute("aria-label");
    this.button.replaceChildren(icon(dark ? "sun" : "moon"));
    dispatchEvent(new Event("themechange"));
  }
}

customElements.define("theme-toggle", ThemeToggle);
