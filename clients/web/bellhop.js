/** Registers this browser with Bellhop, so that calls ring while the page is closed. See docs/web-push.md. */

const DEVICE = "bellhop.device"; // in localStorage: the id with which the device is removed
const WORKER = "/bellhop-worker.js";

/** Whether this browser can get pushes. Safari on iPhones can only when the site is on the home screen. */
export function isSupported() {
  return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

/**
 * Subscribe this browser and register it. Call it when the user clicks, since the browser asks for permission, and again
 * at each start of the page once the permission is given: subscriptions change. Returns the device's id; null without
 * permission.
 */
export async function register({ bellhop, token, worker = WORKER, page, words = {}, ...options }) {
  if ((await Notification.requestPermission()) !== "granted") return null;
  const { app, name = "", apiKey } = options;
  const key = await request(`${bellhop}/v1/web-push/key${app ? `?app=${encodeURIComponent(app)}` : ""}`);
  const settings = new URLSearchParams({ bellhop, ...(page && { page }), ...words });
  const registration = await navigator.serviceWorker.register(`${worker}?${settings}`);
  await untilActive(registration);
  const subscription = await subscribe(registration.pushManager, key.public_key);
  const device = { provider: "webpush", app: key.app, name, ...subscription.toJSON() };
  const { id } = await request(`${bellhop}/v1/users/me/devices`, "POST", { token, apiKey }, device);
  localStorage.setItem(DEVICE, id);
  return id;
}

/** Remove this browser, when its user logs out: while the page still has the user's token. */
export async function unregister({ bellhop, token, apiKey, worker = WORKER }) {
  const registration = await navigator.serviceWorker.getRegistration(worker);
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  const id = localStorage.getItem(DEVICE);
  localStorage.removeItem(DEVICE);
  if (id) await request(`${bellhop}/v1/users/me/devices/${id}`, "DELETE", { token, apiKey });
}

/**
 * Call `listener({ action, push })` when the user clicks on a notification while a page is open; action is answer,
 * decline or open. Returns a function that stops it.
 */
export function onCall(listener) {
  const hear = ({ data }) => data?.type === "bellhop" && listener({ action: data.action, push: data.push });
  navigator.serviceWorker.addEventListener("message", hear);
  return () => navigator.serviceWorker.removeEventListener("message", hear);
}

/** Only an active worker can subscribe. `serviceWorker.ready` may be another worker of the site, or never come. */
async function untilActive(registration) {
  const starting = registration.installing ?? registration.waiting;
  while (starting && !registration.active && starting.state !== "redundant") {
    await new Promise((done) => starting.addEventListener("statechange", done, { once: true }));
  }
}

/** A subscription belongs to the key that it was made with. */
async function subscribe(pushManager, publicKey) {
  const present = await pushManager.getSubscription();
  if (present && base64url(present.options.applicationServerKey) === publicKey) return present;
  await present?.unsubscribe();
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: publicKey });
}

function base64url(buffer) {
  const text = btoa(String.fromCharCode(...new Uint8Array(buffer ?? [])));
  return text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function request(url, method = "GET", { token, apiKey } = {}, body) {
  const headers = {
    ...(token && { Authorization: `Bearer ${token}` }),
    ...(apiKey && { "X-Api-Key": apiKey }),
    ...(body && { "Content-Type": "application/json" }),
  };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(`Bellhop answered ${answer.status}: ${content.title}`);
  return content;
}
