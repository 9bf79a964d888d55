"""Read what Redis keeps of a call for its explanation, in one round trip."""

from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.blocking_client import together
from bellhop.store.keys import trail_key
from bellhop.store.redis_clock import read_time


class StoredTrail(NamedTuple):
    """A call's trail as Redis keeps it."""

    lines: list[bytes]
    now: Micros
    """The time by Redis's clock when the trail was read."""


def read_stored_trail(redis: Redis, tenant: str, cid: str) -> StoredTrail:
    """Read a call's trail. Raises redis.exceptions.RedisError."""
    lines, time = together(redis, ("LRANGE", trail_key(tenant, cid), 0, -1), ("TIME",))
    return StoredTrail(lines, read_time(time))
