"""The webhook: verify, enqueue."""

import hashlib
import hmac
import os
from typing import Any

from flask import Flask, request
from redis import Redis
from rq import Queue

from bench.alternative.jobs import ring

app = Flask(__name__)
queue = Queue("rings", connection=Redis.from_url(os.environ["REDIS_URL"]))


@app.post("/webhooks/stream")
def webhook() -> tuple[dict[str, Any], int]:
    expected = hmac.new(os.environ["STREAM_SECRET"].encode(), request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        return {"error": "bad signature"}, 401
    event = request.get_json()
    if event["type"] == "call.ring":
        queue.enqueue(ring, event)
    return {"status": "ok"}, 200
