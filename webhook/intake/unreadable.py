"""Keep verified webhooks that could not be parsed, so that a person can look at them."""

import json

from bellhop.clock import Micros
from bellhop.store.keys import unreadable_key
from webhook.intake_redis import IntakeRedis

MAX_BODY_BYTES = 65_536


def keep_unreadable(
    redis: IntakeRedis, tenant: str, body: bytes, reason: str, now: Micros, *, kept: int, ttl_s: int
) -> None:
    """Keep the body among the latest `kept` of this app and reason. Raises redis.exceptions.RedisError.

    Each app and reason has a separate list, so that many bodies of one kind do not push out others.
    """
    text = body[:MAX_BODY_BYTES].decode("utf-8", "backslashreplace")
    entry = json.dumps({"at": now, "tenant": tenant, "reason": reason, "body": text})
    key = unreadable_key(tenant, reason)
    redis.together(("LPUSH", key, entry), ("LTRIM", key, 0, kept - 1), ("EXPIRE", key, ttl_s))
