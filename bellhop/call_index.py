"""The lists of latest calls: one of each tenant, and one of each user. They exist if the console is switched on.

take_event.lua writes both, in the step that applies a ring, a notification or a call.missed. Callers read a call's
trail to show it: a call may be in a list although its trail has expired.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.keys import calls_key, calls_of_user_key, devices_key

MAX_CALLS = 10_000
"""Longest list of a tenant. Older calls can still be opened by their id, as long as they have a trail."""
MAX_CALLS_OF_USER = 50
"""Longest list of a user."""
FROM_LATEST = Micros(0)


class IndexedCall(NamedTuple):
    """An entry of a list."""

    cid: str
    began_at: Micros
    """When the call last began to ring or to notify."""


def entry(tenant: str, cid: str, user_ids: Iterable[str], *, begins: bool) -> dict[str, object]:
    """Write the entries of one call for take_event.lua. A call that only goes on (not `begins`) keeps its place."""
    keys = [calls_of_user_key(tenant, user_id) for user_id in dict.fromkeys(user_ids) if user_id]
    return {
        "cid": cid,
        "how": "GT" if begins else "NX",
        "limits": [[calls_key(tenant), str(MAX_CALLS)], *([key, str(MAX_CALLS_OF_USER)] for key in keys)],
    }


def calls_of_tenant(redis: Redis, tenant: str, before: Micros, limit: int) -> list[IndexedCall]:
    """Read calls that began before `before`, the latest first. Raises redis.exceptions.RedisError."""
    return _read(redis, calls_key(tenant), before, limit)


def calls_of_user(redis: Redis, tenant: str, user_id: str, before: Micros, limit: int) -> list[IndexedCall]:
    """Read the calls of a user that began before `before`, the latest first. Raises redis.exceptions.RedisError."""
    return _read(redis, calls_of_user_key(tenant, user_id), before, limit)


def is_known_user(redis: Redis, tenant: str, user_id: str) -> bool:
    """Return whether the user has a call in the lists, or a device. Raises redis.exceptions.RedisError."""
    return bool(redis.exists(calls_of_user_key(tenant, user_id), devices_key(tenant, user_id)))


def _read(redis: Redis, key: str, before: Micros, limit: int) -> list[IndexedCall]:
    latest = f"({before}" if before else "+inf"
    entries: Any = redis.zrevrangebyscore(key, latest, "-inf", start=0, num=limit, withscores=True)
    return [IndexedCall(cid.decode("utf-8", "replace"), Micros(int(score))) for cid, score in entries]
