// Without HTMX the browser says when a form could not be sent; with it, this does.
const trouble = () => document.getElementById("trouble");
const isSent = (event) => event.detail.requestConfig.verb !== "get";

for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, (event) => {
    if (isSent(event)) trouble().hidden = false;
  });
}
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isSent(event)) trouble().hidden = true;
});
