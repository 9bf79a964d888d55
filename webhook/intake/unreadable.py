"""Keep verified webhooks that could not be parsed, so that a person can look at them."""

import json

from bellhop.clock import Micros
from bellhop.store.keys import UNREADABLE
from webhook.intake_redis import IntakeRedis

MAX_KEPT = 100
MAX_BODY_BYTES = 65_536


def keep_unreadable(redis: IntakeRedis, tenant: str, body: bytes, reason: str, now: Micros, *, ttl_s: int) -> None:
    """Keep the body and the reason, among the latest MAX_KEPT. Raises redis.exceptions.RedisError."""
    text = body[:MAX_BODY_BYTES].decode("utf-8", "backslashreplace")
    entry = json.dumps({"at": now, "tenant": tenant, "reason": reason, "body": text})
    redis.together(
        ("LPUSH", UNREADABLE, entry),
        ("LTRIM", UNREADABLE, 0, MAX_KEPT - 1),
        ("EXPIRE", UNREADABLE, ttl_s),
    )
