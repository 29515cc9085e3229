// Receives live updates for logged-in users from apps/live/consumers.py.
// Load it with `defer` on pages whose body has data-live-url.
"use strict";

{
  const INITIAL_DELAY = 1_000; // milliseconds before the second attempt; doubled for each further one
  const MAX_DELAY = 30_000;
  const MAX_ANNOUNCEMENTS = 5;
  const NOT_LOGGED_IN = 4401; // close code of the server

  let address = null;
  let socket = null;
  let failures = 0;
  let timeout = 50_000; // milliseconds without a message; two ping intervals, set at "hello"
  let timeoutTimer;
  let retryTimer;

  function start() {
    if (!document.body.dataset.liveUrl) return;
    address = new URL(document.body.dataset.liveUrl, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    announcements(); // screen readers announce additions only to a region that exists
    addEventListener("online", reconnect);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !socket) reconnect();
    });
    connect();
  }

  function connect() {
    const opened = new WebSocket(address);
    socket = opened;
    restartTimeout();
    opened.addEventListener("message", (event) => {
      if (socket === opened) receive(JSON.parse(event.data));
    });
    opened.addEventListener("close", (event) => {
      if (socket === opened) handleClose(event.code);
    });
  }

  // The network or the user is back: the old connection may be dead.
  function reconnect() {
    if (!address) return;
    failures = 0;
    closeSocket();
    connect();
  }

  // Forget the socket first: on a dead connection, close() waits for a response.
  function closeSocket() {
    clearTimeout(retryTimer);
    clearTimeout(timeoutTimer);
    const closing = socket;
    socket = null;
    closing?.close();
  }

  function restartTimeout() {
    clearTimeout(timeoutTimer);
    timeoutTimer = setTimeout(handleClose, timeout);
  }

  function handleClose(code) {
    closeSocket();
    if (code === NOT_LOGGED_IN) {
      address = null;
      return;
    }
    // Without a socket, load the unread count with each attempt.
    if (failures > 0) emit(document.body, "notification", {});
    const delay = Math.min(MAX_DELAY, INITIAL_DELAY * 2 ** failures);
    failures += 1;
    // Partly random, so that pages do not all reconnect at once after a restart of the server.
    retryTimer = setTimeout(connect, delay * (0.5 + Math.random() / 2));
  }

  function receive(message) {
    if (message.type === "hello") {
      failures = 0;
      timeout = 2_000 * message.ping;
    }
    restartTimeout();
    if (message.type === "hello" || message.type === "notification") {
      emit(document.body, "notification", message);
    }
    // At "hello", too: work may have changed since the page was rendered.
    if (message.type === "hello" || message.type === "console") emit(document.body, "console", {});
    if (message.type === "progress") showProgress(message);
    if (message.type === "announcement") announce(message);
  }

  function emit(target, name, detail) {
    target.dispatchEvent(new CustomEvent(name, { detail }));
  }

  function showProgress(message) {
    for (const shown of document.querySelectorAll(`[data-task="${CSS.escape(message.task)}"]`)) {
      for (const bar of shown.querySelectorAll("progress")) {
        bar.value = (bar.max * message.percent) / 100;
      }
      for (const text of shown.querySelectorAll("[data-progress-text]")) {
        text.textContent = progressText(message);
      }
      emit(shown, "progress", message);
    }
    emit(document.body, "progress", message);
  }

  function progressText({ message, percent, seconds_left: left }) {
    const time = left === null ? "" : `about ${duration(Math.ceil(left))} left`;
    return [message, `${percent} %`, time].filter(Boolean).join(", ");
  }

  function duration(seconds) {
    return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  }

  function announce({ title, url }) {
    const line = document.createElement("p");
    line.className = "message info";
    const text = line.appendChild(document.createElement(url ? "a" : "span"));
    text.textContent = title;
    if (url) text.href = url;
    const region = announcements();
    region.prepend(line);
    while (region.children.length > MAX_ANNOUNCEMENTS) region.lastChild.remove();
  }

  function announcements() {
    let region = document.getElementById("announcements");
    if (!region) {
      region = document.createElement("div");
      region.id = "announcements";
      region.className = "messages";
      region.setAttribute("role", "log"); // for a "status", screen readers repeat all lines
      region.setAttribute("aria-label", "Announcements");
      document.body.append(region); // at the end, so that HTMX does not replace it
    }
    return region;
  }

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", start);
  } else {
    start();
  }
}
