// Sets the remembered theme before the first paint. A classic script on purpose: it must block.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("roomtape.theme");
  } catch {
    // Storage may be forbidden; the system's theme is used then.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
