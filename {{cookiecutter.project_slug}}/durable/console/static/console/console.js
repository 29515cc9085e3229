// A part of a page refreshes by itself, but not while nobody sees the page or you have selected text in it. A
// careful one does not while you point at something in it or have selected rows, either: rows would move.
// Load it with `defer`.
"use strict";

{
  const IN_USE = "a:hover, button:hover, input:hover, input:checked, :focus-visible";
  const scrolled = new Map(); // how far each table is scrolled to the side

  function waits(part) {
    const selection = getSelection();
    return (
      document.hidden ||
      (selection.type === "Range" && part.contains(selection.anchorNode)) ||
      (part.dataset.refresh === "careful" && part.querySelector(IN_USE))
    );
  }

  function sections(part) {
    return part.querySelectorAll("section[aria-labelledby]");
  }

  // Before the swap, too: the answer may come after you have pointed at something.
  for (const name of ["htmx:beforeRequest", "htmx:beforeSwap"]) {
    document.addEventListener(name, (event) => {
      const part = event.target.closest("[data-refresh]");
      if (!part) return;
      if (waits(part)) event.preventDefault();
      for (const section of sections(part)) {
        scrolled.set(section.getAttribute("aria-labelledby"), section.scrollLeft);
      }
    });
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    const part = event.target.closest("[data-refresh]");
    for (const section of part ? sections(part) : []) {
      section.scrollLeft = scrolled.get(section.getAttribute("aria-labelledby")) ?? 0;
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) document.body.dispatchEvent(new CustomEvent("console"));
  });
}
