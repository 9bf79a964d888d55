/** The service worker of clients/web. It also posts each push to its site, since only the browser can decrypt it. */
importScripts("/bellhop-worker.js");

self.addEventListener("push", (event) => {
  event.waitUntil(fetch("/arrived", { method: "POST", body: event.data.text() }));
});
