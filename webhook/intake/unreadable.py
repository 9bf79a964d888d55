"""Keep verified webhooks that could not be parsed, so that a person can look at them."""

import json

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.keys import UNREADABLE

MAX_KEPT = 100
MAX_BODY_BYTES = 65_536


def keep_unreadable(redis: Redis, tenant: str, body: bytes, reason: str, now: Micros, *, ttl_s: int) -> None:
    """Keep the body and the reason, among the latest MAX_KEPT. Raises redis.exceptions.RedisError."""
    text = body[:MAX_BODY_BYTES].decode("utf-8", "backslashreplace")
    entry = json.dumps({"at": now, "tenant": tenant, "reason": reason, "body": text})
    pipeline = redis.pipeline()
    pipeline.lpush(UNREADABLE, entry)
    pipeline.ltrim(UNREADABLE, 0, MAX_KEPT - 1)
    pipeline.expire(UNREADABLE, ttl_s)
    pipeline.execute()
