// Shows times in the reader's time zone, and refreshes the list that is marked data-live. The page works without it.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const two = (number) => String(number).padStart(2, "0");
  const day = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

  // Writes each time as the server does in UTC: with the date if it is not today.
  function inZone(root) {
    const today = day(new Date());
    for (const time of root.querySelectorAll("time[data-clock]")) {
      const at = new Date(time.dateTime);
      const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
      time.textContent = day(at) === today ? clock : `${day(at)} ${clock}`;
    }
  }

  inZone(document);
  for (const input of document.querySelectorAll("[data-zone]")) input.value = zone;
  const note = document.getElementById("zone-note");
  if (note) note.textContent = `Times are in your time zone, ${zone}.`;

  const PERIOD_MS = 3000, MOST_MS = 30000;
  const list = document.querySelector("#list[data-live]");
  const bar = document.getElementById("live-bar");
  if (!list || !bar) return;
  const state = document.getElementById("live-state"), button = document.getElementById("live-switch");
  let paused = false, pause = PERIOD_MS;

  // Whether the list stays as it is: it is paused, nobody looks at it, or the focus is in it.
  const isKept = () => document.hidden || paused || list.contains(document.activeElement);
  const show = (text) => { if (state.textContent !== text) state.textContent = text; };

  async function refresh() {
    if (isKept()) return;
    const headers = { "X-Bellhop-Refresh": "1" };  // so that this counts as no use of the login
    const response = await fetch(location.href, { cache: "no-store", redirect: "error", headers });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("#list[data-live]");
    if (!fresh) throw new Error("logged out");
    inZone(fresh);
    if (!isKept() && fresh.innerHTML !== list.innerHTML) list.replaceChildren(...fresh.childNodes);
  }

  async function keepFresh() {
    try {
      await refresh();
      pause = PERIOD_MS;
      if (!paused) show("Live");
    } catch {
      pause = Math.min(pause * 2, MOST_MS);
      if (!paused) show("Connection lost: reload the page if this stays");
    }
    setTimeout(keepFresh, pause);
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    show(paused ? "Paused" : "Live");
  });
  bar.hidden = false;
  setTimeout(keepFresh, pause);
})();
