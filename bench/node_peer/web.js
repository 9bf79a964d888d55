// The webhook in Node as teams usually write it: Express verifies, BullMQ queues. No call state, no trail.
import { createHmac, timingSafeEqual } from "node:crypto";
import { Queue } from "bullmq";
import express from "express";

const { REDIS_URL, STREAM_SECRET, PORT } = process.env;
const redis = new URL(REDIS_URL);
const rings = new Queue("rings", { connection: { host: redis.hostname, port: Number(redis.port) } });
const app = express();

app.post("/webhooks/stream", express.raw({ type: "*/*", limit: "1mb" }), async (request, response) => {
  const expected = createHmac("sha256", STREAM_SECRET).update(request.body).digest();
  const given = Buffer.from(request.get("x-signature") ?? "", "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return response.status(401).json({ error: "bad signature" });
  }
  const event = JSON.parse(request.body);
  if (event.type === "call.ring") {
    const jobId = request.get("x-webhook-id");
    await rings.add("ring", event, { jobId, removeOnComplete: true, attempts: 3 });
  }
  response.json({ status: "ok" });
});

await rings.waitUntilReady();
app.listen(Number(PORT), "127.0.0.1");
