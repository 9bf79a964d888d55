/**
 * Bellhop's service worker: shows calls and notices while no page is open.
 *
 * Copy it to your site. Its settings are in the URL with which `register` in bellhop.js registers it:
 *
 *   /bellhop-worker.js?bellhop=https://bellhop.example.com&page=/call/{cid}?action={action}
 *
 * bellhop          where Bellhop's /v1 is. Without it nothing is reported, and Decline opens the page.
 * page             the page for a call, on your site. {cid} is the call, {action} is answer, decline or open.
 * answer, decline  the words on the buttons, in the user's language.
 * icon             the URL of a picture.
 *
 * It follows three rules of browsers. A browser delivers the next push only when the event of the last one is over, so
 * nothing here waits for the end of a ring. A browser ends the subscription of a site whose pushes show nothing, so every
 * push shows something. A browser may end a worker at any time, so only another push about the call is sure to remove a ring.
 */
"use strict";

const settings = new URL(self.location.href).searchParams;
const REPORT_MS = 3_000;
const MOMENT_MS = 1_000;
const RIGHT_MS = 5_000; // a clock that differs by less from Bellhop's counts as right
const PAGES = { type: "window", includeUncontrolled: true };
const acted = new Map(); // for each call, the `expires_at` of the ring that the user clicked on or closed
const ended = new Map(); // for each call, the `sent_at` of the last push that replaces its ring
let lastTurn = Promise.resolve();
let aheadMs = 0; // how far this computer's clock is ahead of Bellhop's

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(read(event.data))));

self.addEventListener("notificationclick", (event) => {
  const { action, notification } = event;
  acted.set(notification.tag, notification.data?.expires_at);
  notification.close();
  event.waitUntil(action === "decline" ? decline(notification.data) : open(notification.data, action || "open"));
});

self.addEventListener("notificationclose", (event) => {
  const push = event.notification.data;
  // The event must end at once: when it ends, Chromium forgets all notifications with this tag, also one shown meanwhile.
  if (rings(push)) dismissed(push);
});

/** A push that cannot be read is shown too. */
function read(data) {
  try {
    return data.json();
  } catch {
    return { type: "unknown", title: self.location.host };
  }
}

function rings(push) {
  return push.type === "call.ring" && now() < Number(push.expires_at);
}

function now() {
  return Date.now() - aheadMs;
}

/**
 * Compare this computer's clock with Bellhop's: a wrong clock must not turn every call into a missed one. The header Date has
 * whole seconds, and may be a moment old, so a small difference says nothing. Without an answer, nothing changes.
 */
async function compareClocks() {
  const bellhop = settings.get("bellhop");
  if (!bellhop) return;
  try {
    const request = { cache: "no-store", signal: AbortSignal.timeout(REPORT_MS) };
    const answer = await fetch(`${bellhop}/v1/web-push/key`, request);
    const differenceMs = Date.now() - Date.parse(answer.headers.get("Date")); // NaN without the header
    aheadMs = Math.abs(differenceMs) > RIGHT_MS ? differenceMs : 0;
  } catch {
    // Bellhop is away.
  }
}

/**
 * Whether the user has already acted on this ring, or a later push has replaced it. If the answer of the push service was
 * lost, Bellhop sends a ring twice. The second one may come after the push that ends the ring, and must not ring again.
 */
function isPast({ type, call_cid, expires_at, sent_at }) {
  return type === "call.ring" && (acted.get(call_cid) === expires_at || ended.get(call_cid) >= Number(sent_at));
}

async function show(push) {
  const over = push.type === "call.ring_over";
  if (over || push.type === "call.missed") ended.set(push.call_cid, Number(push.sent_at));
  if (over && (await isOpen())) return closeAll(push);
  const past = isPast(push);
  if (push.type === "call.ring" && !past && !rings(push)) await compareClocks();
  const ringing = rings(push) && !past;
  if (ringing) acted.delete(push.call_cid);
  const before = await inTurn(async () => {
    const [shown] = await self.registration.getNotifications({ tag: push.call_cid });
    const isRepeated = ringing && shown?.data.type === "call.ring" && shown.data.expires_at === push.expires_at;
    await present(past && shown ? shown.data : push, !past && !isRepeated);
    return shown;
  });
  // The push event must not wait for the timers below: see the rules at the top.
  if (ringing) closeAtTheEnd(push);
  // If the user has answered or declined here, the notification disappears after a moment.
  if ((over && (!before || acted.has(push.call_cid))) || (past && !before)) setTimeout(() => closeAll(push), MOMENT_MS);
  if (ringing) await report(push, "rang");
  else if (push.type === "call.ring" && !past) await report(push, "not_shown", "already_over");
}

function present(push, isNew) {
  const ringing = rings(push) && !isPast(push);
  const late = push.type === "call.ring" && !rings(push);
  return self.registration.showNotification(late ? push.missed_title : push.title, {
    body: late ? push.missed_body : push.body,
    tag: push.call_cid, // a later push about the call replaces this one
    icon: settings.get("icon") ?? undefined,
    data: push,
    renotify: ringing && isNew,
    requireInteraction: ringing,
    silent: !isNew || late || push.type === "call.ring_over",
    actions: ringing ? [button("answer", "Answer"), button("decline", "Decline")] : [],
  });
}

function button(action, word) {
  return { action, title: settings.get(action) ?? word };
}

async function closeAtTheEnd(push) {
  await new Promise((done) => setTimeout(done, Number(push.expires_at) - now()));
  await closeAll(push, (shown) => shown.type === "call.ring" && !rings(shown));
}

/** Whether the user sees a page of the site. While one is visible, a browser allows a push that shows nothing. */
async function isOpen() {
  const pages = await self.clients.matchAll(PAGES);
  return pages.some(({ visibilityState }) => visibilityState === "visible");
}

function closeAll({ call_cid: tag }, chosen = () => true) {
  return inTurn(async () => {
    const shown = await self.registration.getNotifications({ tag });
    for (const notification of shown) if (chosen(notification.data)) notification.close();
  });
}

/**
 * Show or list notifications only after the previous call of this function is done. If the list is read while Chromium
 * shows a notification, Chromium forgets this notification, and a click on it causes no event.
 */
function inTurn(use) {
  const turn = lastTurn.then(use);
  lastTurn = turn.catch(() => {});
  return turn;
}

async function decline(push) {
  if (!(await report(push, "declined"))) await open(push, "decline");
}

/** Report a closed ring, unless the user clicked on it or another notification replaced it: that closes it too. */
async function dismissed(push) {
  await new Promise((done) => setTimeout(done, MOMENT_MS));
  const shown = await inTurn(() => self.registration.getNotifications({ tag: push.call_cid }));
  if (acted.has(push.call_cid) || shown.length > 0) return;
  acted.set(push.call_cid, push.expires_at);
  await report(push, "dismissed");
}

/** Tell Bellhop what happened to a ring. The ticket in the push is the only key. Returns whether Bellhop took it. */
async function report({ receipt }, event, reason = "") {
  const bellhop = settings.get("bellhop");
  if (!receipt || !bellhop) return false;
  // A text needs no preflight: that saves a round trip.
  const request = { method: "POST", body: JSON.stringify({ receipt, event, reason, at: Date.now() }) };
  try {
    const answer = await fetch(`${bellhop}/v1/receipts`, { ...request, signal: AbortSignal.timeout(REPORT_MS) });
    return answer.ok;
  } catch {
    return false;
  }
}

/** Tell an open page what the user chose, or open one. */
async function open(push, action) {
  const pages = await self.clients.matchAll(PAGES);
  const page = pages.find(({ visibilityState }) => visibilityState === "visible") ?? pages[0];
  if (page) {
    page.postMessage({ type: "bellhop", action, push });
    await page.focus();
    return;
  }
  const values = { cid: push.call_cid ?? "", action };
  const path = (settings.get("page") ?? "/").replace(/\{(cid|action)\}/g, (_, name) => encodeURIComponent(values[name]));
  await self.clients.openWindow(path);
}
