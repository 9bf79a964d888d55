/** The service worker of clients/web. It also tells its site what it decrypted: nobody else can read it. */
importScripts("/bellhop-worker.js");

self.addEventListener("push", (event) => {
  event.waitUntil(fetch("/arrived", { method: "POST", body: event.data.text() }));
});
