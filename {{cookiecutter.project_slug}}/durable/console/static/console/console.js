// A part of a page refreshes by itself, but not while you point at something in it or have selected rows.
// Load it with `defer`.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target.closest("[data-refresh]");
  if (part?.querySelector("a:hover, button:hover, input:hover, input:checked, :focus-visible")) {
    event.preventDefault();
  }
});
