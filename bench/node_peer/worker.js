// The worker in Node as teams usually write it: BullMQ takes the job, node-apn and FCM's HTTP API push to each device.
// It has no fence before a push and no trail, and it pushes although another phone has answered.
import { readFileSync } from "node:fs";
import apn from "@parse/node-apn";
import { Worker } from "bullmq";
import jwt from "jsonwebtoken";

const { REDIS_URL, APNS_URL, APNS_KEY_FILE, APNS_KEY_ID, APNS_TEAM_ID, APNS_TOPIC, FCM_URL, SERVICE_ACCOUNT } = process.env;
const redis = new URL(REDIS_URL);
const apple = new URL(APNS_URL);
const account = JSON.parse(readFileSync(SERVICE_ACCOUNT));
const provider = new apn.Provider({
  token: { key: readFileSync(APNS_KEY_FILE), keyId: APNS_KEY_ID, teamId: APNS_TEAM_ID },
  address: apple.hostname,
  port: Number(apple.port),
});

let access = { token: "", expiresAt: 0 };
async function accessToken() {
  if (access.expiresAt < Date.now() + 60_000) {
    const scope = "https://www.googleapis.com/auth/firebase.messaging";
    const claims = { iss: account.client_email, scope, aud: "https://oauth2.googleapis.com/token" };
    const assertion = jwt.sign(claims, account.private_key, { algorithm: "RS256", expiresIn: "1h" });
    const body = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion });
    const reply = await (await fetch(account.token_uri, { method: "POST", body })).json();
    access = { token: reply.access_token, expiresAt: Date.now() + reply.expires_in * 1000 };
  }
  return access.token;
}

async function pushToApple(token, stream) {
  const note = new apn.Notification();
  note.topic = `${APNS_TOPIC}.voip`;
  note.pushType = "voip";
  note.priority = 10;
  note.expiry = Math.floor(Date.now() / 1000) + 30;
  note.rawPayload = { aps: { alert: { title: `${stream.created_by_display_name} is calling you` } }, stream };
  const { failed } = await provider.send(note, token);
  if (failed.length) throw new Error(JSON.stringify(failed[0].response ?? String(failed[0].error)));
}

async function pushToGoogle(token, data) {
  const reply = await fetch(`${FCM_URL}/v1/projects/${account.project_id}/messages:send`, {
    method: "POST",
    headers: { authorization: `Bearer ${await accessToken()}`, "content-type": "application/json" },
    body: JSON.stringify({ message: { token, data, android: { priority: "HIGH", ttl: "30s" } } }),
  });
  const answer = await reply.text();
  if (!reply.ok) throw new Error(`${reply.status} ${answer}`);
}

const worker = new Worker(
  "rings",
  async ({ data: event }) => {
    const client = await worker.client;
    const pushes = event.members.map(async ({ user_id }) => {
      const stream = {
        sender: "stream.video",
        type: "call.ring",
        version: "v2",
        call_cid: event.call_cid,
        call_display_name: event.call.custom.display_name ?? "",
        created_by_id: event.user.id,
        created_by_display_name: event.user.name,
        receiver_id: user_id,
        video: String(event.video),
      };
      const devices = JSON.parse((await client.get(`devices:${user_id}`)) ?? "[]");
      await Promise.all(
        devices.map(({ provider, token }) => (provider === "apns" ? pushToApple : pushToGoogle)(token, stream)),
      );
    });
    await Promise.all(pushes);
  },
  { connection: { host: redis.hostname, port: Number(redis.port) }, concurrency: 100 },
);
worker.on("failed", (job, error) => console.error(job?.id, error.message));
await worker.waitUntilReady();
