// Hears what a signed-in user's open pages are told; apps/live/consumers.py is the other side.
// Load it with `defer`, on pages whose body has data-live-url.
"use strict";

{
  const FIRST_PAUSE = 1_000; // milliseconds before the second attempt; each pause is twice the one before
  const LONGEST_PAUSE = 30_000;
  const MOST_ANNOUNCED = 5; // lines
  const NOT_SIGNED_IN = 4401; // the server's close code

  let address = null;
  let socket = null;
  let failures = 0;
  let patience = 50_000; // milliseconds without a word; two pings, once the server has told how often
  let silence; // timers
  let retry;

  function start() {
    if (!document.body.dataset.liveUrl) return;
    address = new URL(document.body.dataset.liveUrl, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    announcements(); // a screen reader tells only what is added to a region that was there
    addEventListener("online", reconnect);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !socket) reconnect();
    });
    connect();
  }

  function connect() {
    const opened = new WebSocket(address);
    socket = opened;
    expectWord();
    opened.addEventListener("message", (event) => {
      if (socket === opened) hear(JSON.parse(event.data));
    });
    opened.addEventListener("close", (event) => {
      if (socket === opened) lose(event.code);
    });
  }

  // The network has come back, or the user: what the old connection is worth is not known.
  function reconnect() {
    if (!address) return;
    failures = 0;
    abandon();
    connect();
  }

  // close() alone would wait for an answer, which a dead connection does not give.
  function abandon() {
    clearTimeout(retry);
    clearTimeout(silence);
    const abandoned = socket;
    socket = null;
    abandoned?.close();
  }

  function expectWord() {
    clearTimeout(silence);
    silence = setTimeout(lose, patience);
  }

  function lose(code) {
    abandon();
    if (code === NOT_SIGNED_IN) {
      address = null;
      return;
    }
    // Without a socket, the page asks as often as it tries to get one.
    if (failures > 0) tell(document.body, "notification", {});
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures);
    failures += 1;
    // A random part of it, so that not all pages come at once after a restart of the server.
    retry = setTimeout(connect, pause * (0.5 + Math.random() / 2));
  }

  function hear(message) {
    if (message.type === "hello") {
      failures = 0;
      patience = 2_000 * message.ping;
    }
    expectWord();
    if (message.type === "hello" || message.type === "notification") {
      tell(document.body, "notification", message);
    }
    if (message.type === "progress") showProgress(message);
    if (message.type === "announcement") announce(message);
  }

  function tell(target, name, detail) {
    target.dispatchEvent(new CustomEvent(name, { detail }));
  }

  function showProgress(message) {
    for (const shown of document.querySelectorAll(`[data-task="${CSS.escape(message.task)}"]`)) {
      for (const bar of shown.querySelectorAll("progress")) {
        bar.value = (bar.max * message.percent) / 100;
      }
      for (const text of shown.querySelectorAll("[data-progress-text]")) {
        text.textContent = inWords(message);
      }
      tell(shown, "progress", message);
    }
    tell(document.body, "progress", message);
  }

  function inWords({ message, percent, seconds_left: left }) {
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
    while (region.children.length > MOST_ANNOUNCED) region.lastChild.remove();
  }

  function announcements() {
    let region = document.getElementById("announcements");
    if (!region) {
      region = document.createElement("div");
      region.id = "announcements";
      region.className = "messages";
      region.setAttribute("role", "log"); // of a status, all lines are told again with each new one
      region.setAttribute("aria-label", "Announcements");
      document.body.append(region); // what is loaded anew takes the place of something else
    }
    return region;
  }

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", start);
  } else {
    start();
  }
}
