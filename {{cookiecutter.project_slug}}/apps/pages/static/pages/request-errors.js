// Without HTMX, the browser reports a form that could not be sent. With HTMX, this script does.
const requestError = () => document.getElementById("request-error");
const isForm = (event) => event.detail.requestConfig.verb !== "get";

for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, (event) => {
    if (isForm(event)) requestError().hidden = false;
  });
}
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isForm(event)) requestError().hidden = true;
});
