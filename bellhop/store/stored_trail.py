"""Read what Redis keeps of a call for its explanation."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.blocking_client import together
from bellhop.store.keys import told_key, trail_key
from bellhop.store.phones_today import silent_phones
from bellhop.store.redis_clock import read_time
from bellhop.store.registered_today import devices_today

BYTES_OF_LINE = 160
"""The size of a usual line of a trail. A line that names a hundred users counts as several."""


class StoredTrail(NamedTuple):
    """A call's trail as Redis keeps it."""

    lines: list[bytes]
    now: Micros
    """The time by Redis's clock when the trail was read."""
    told: tuple[str, ...]
    """The types of events that Bellhop did nothing for."""
    today: Mapping[str, str] = MappingProxyType({})
    """What is known today: of users who had no device when the call rang, by their ids, a sentence about their devices;
    of phones that stayed silent, by the key of the device, a sentence about their settings."""


def read_stored_trail(redis: Redis, tenant: str, cid: str) -> StoredTrail:
    """Read a call's trail, and what is known today of users without devices and of phones that stayed silent.

    Raises redis.exceptions.RedisError.
    """
    commands = ("LRANGE", trail_key(tenant, cid), 0, -1), ("TIME",), ("HKEYS", told_key(tenant, cid))
    lines, time, told = together(redis, *commands)
    types = tuple(sorted(type_.decode("utf-8", "replace") for type_ in told))
    now = read_time(time)
    today = {**devices_today(redis, tenant, lines), **silent_phones(redis, tenant, lines, now)}
    return StoredTrail(lines, now, types, today)
