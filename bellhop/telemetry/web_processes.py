"""The web processes that run, with their machines and clocks: each adds itself to a hash in Redis."""

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from redis import Redis

from bellhop import __version__
from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, seconds
from bellhop.store.blocking_client import together
from bellhop.store.keys import WEB_PROCESSES
from bellhop.store.redis_clock import read_time

EVERY_S = 5.0
GONE_US = 30 * MICROS_PER_SECOND
"""A process that has not written for this time has ended."""
TTL_S = 3600


class WebProcess(NamedTuple):
    """One process."""

    machine: str
    pid: int
    version: str
    clock_ahead_s: Seconds
    """How far its clock is ahead of Redis's."""
    at: Micros
    """When it wrote this, by Redis's clock."""
    live_streams: int = 0
    """How many live streams it keeps open."""


class OwnEntry:
    """The entry of this process."""

    def __init__(self) -> None:
        self.live_streams = 0
        self._written_s = float("-inf")
        self.renew()

    def renew(self) -> None:
        """Take a new name: a forked child is another process."""
        self._name = uuid4().hex

    def write(self, redis: Redis) -> None:
        """Write the entry if it is time, and remove those of processes that ended. Raises RedisError."""
        if time.monotonic() - self._written_s >= EVERY_S:
            self.write_now(redis)

    def write_now(self, redis: Redis) -> None:
        """Write the entry, and remove those of processes that ended. Raises RedisError."""
        sent_s = time.time()
        now = read_time(redis.time())
        ahead_s = Seconds(round((sent_s + time.time()) / 2 - seconds(now), 3))
        process = WebProcess(socket.gethostname(), os.getpid(), __version__, ahead_s, now, self.live_streams)
        _, _, entries = together(
            redis,
            ("HSET", WEB_PROCESSES, self._name, json.dumps(process)),
            ("EXPIRE", WEB_PROCESSES, TTL_S),
            ("HGETALL", WEB_PROCESSES),
        )
        if ended := [name for name, text in entries.items() if _read(text).at < now - GONE_US]:
            redis.hdel(WEB_PROCESSES, *ended)
        self._written_s = time.monotonic()


OWN_ENTRY = OwnEntry()
os.register_at_fork(after_in_child=OWN_ENTRY.renew)


def read_web_processes(redis: Redis, now: Micros) -> list[WebProcess]:
    """Return the processes that run. Raises redis.exceptions.RedisError."""
    entries: Mapping[bytes, bytes] = redis.hgetall(WEB_PROCESSES)  # type: ignore[assignment]
    return sorted(process for process in map(_read, entries.values()) if process.at >= now - GONE_US)


def _read(text: bytes) -> WebProcess:
    values: list[Any] = json.loads(text)
    return WebProcess(*values[: len(WebProcess._fields)])
