// Keeps what is marked data-live up to date. Everything can be read without it.
"use strict";
(() => {
  const PERIOD_MS = 3000, MOST_MS = 30000;
  const list = document.querySelector("#list[data-live]");
  const bar = document.getElementById("live-bar");
  if (!list || !bar) return;
  const state = document.getElementById("live-state"), button = document.getElementById("live-switch");
  let paused = false, pause = PERIOD_MS;

  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  async function refresh() {
    if (document.hidden || paused || list.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#list[data-live]");
    if (!fresh) throw new Error("logged out");
    if (!paused && fresh.innerHTML !== list.innerHTML) list.replaceChildren(...fresh.childNodes);
  }

  async function keepFresh() {
    try {
      await refresh();
      pause = PERIOD_MS;
      if (!paused) say("Live");
    } catch {
      pause = Math.min(pause * 2, MOST_MS);
      if (!paused) say("Out of touch: load the page again if this stays");
    }
    setTimeout(keepFresh, pause);
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    say(paused ? "Paused" : "Live");
  });
  bar.hidden = false;
  setTimeout(keepFresh, pause);
})();
