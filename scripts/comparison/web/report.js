"use strict";
// Everything is readable without this; it only tells figures at the pointer and hides series.
const told = document.getElementById("told");

function tell(event) {
  const text = event.target.dataset ? event.target.dataset.told : undefined;
  told.hidden = text === undefined;
  if (text === undefined) return;
  told.textContent = text;
  const box = event.target.getBoundingClientRect();
  told.style.left = `${Math.min(box.right + 8, window.innerWidth - told.offsetWidth - 8)}px`;
  told.style.top = `${Math.max(box.top - told.offsetHeight - 6, 4)}px`;
}

for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, tell);

document.addEventListener("click", (event) => {
  const legend = event.target.closest(".legend");
  if (legend === null) return;
  const name = CSS.escape(legend.dataset.series);
  const off = !legend.classList.contains("off");
  for (const part of document.querySelectorAll(`[data-series="${name}"]`)) {
    part.classList.toggle("off", off);
  }
});

document.getElementById("theme").addEventListener("click", () => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
});
