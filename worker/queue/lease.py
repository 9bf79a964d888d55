"""A worker's lease: the sign of life that others judge it by, and the reaper that judges others.

The lease is the key bellhop:worker:<name>; while it exists, what the worker took is its own. RQ's own recovery takes
minutes (its heartbeats last 90 s, its maintenance runs every 600 s) and serves only jobs with retries.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKERS, rq_worker_key

log = structlog.get_logger()

LEASE_MS = 3000
BEAT_S = 0.5
SILENCE_MS = 1500
"""Longer than this without a beat of any worker: it was Redis that was away, or everybody. With the age that a lease
has by then (a beat, a late one) it stays below LEASE_MS: no lease runs out in a silence too short to be noticed."""
REGISTRATION_TTL_S = 60
"""How long `rq info` shows a worker that died."""


class Lease:
    """The lease of one process under one name; `beat` it every BEAT_S seconds."""

    def __init__(
        self, redis_url: str, name: str, queues: Sequence[str], describe: Callable[[], dict[str, Any]]
    ) -> None:
        self.store = Store.from_url(redis_url, connections=1, timeout_s=Seconds(1.0))
        self.name, self.queues, self.describe = name, ",".join(queues), describe
        self.suspended = False
        """Whether `rq suspend` is in force."""
        self._valid_until = 0.0
        self.silent = False
        """Whether the last beat failed."""

    @property
    def healthy(self) -> bool:
        """Whether nobody can presume this worker dead yet. Ask before what must not be done by two workers."""
        return time.monotonic() < self._valid_until

    async def beat(self) -> bool:
        """Renew the lease; True when it had lapsed (or is new), so that others may have taken this worker's jobs.

        Failure is logged once and leaves everything as it was: `healthy` then runs out by itself.
        """
        sent_at = time.monotonic()
        command = queue_scripts.renew_lease(
            self.name,
            self.queues,
            self.describe() | {"place": place()},
            lease_ms=LEASE_MS,
            silence_ms=SILENCE_MS,
            registration_s=REGISTRATION_TTL_S,
        )
        try:
            lapsed, suspended = await self.store.script(*command)
        except RedisError as error:
            if not self.silent:
                log.warning("lease_not_renewed", worker=self.name, error=type(error).__name__)
            self.silent = True
            return False
        if self.silent:
            log.info("lease_renewed", worker=self.name)
        # The answer that said so may have got lost: then a beat in between has taken the lease again.
        lapsed = lapsed or not self.healthy
        self.silent, self.suspended = False, bool(suspended)
        self._valid_until = sent_at + LEASE_MS / 1000
        return bool(lapsed)

    async def reap(self) -> None:
        """Give back the jobs of workers whose lease is gone, and queue the scheduled jobs that are due.

        Raises as the store does.
        """
        dead = await self.store.script(*queue_scripts.reap_workers(lease_ms=LEASE_MS, silence_ms=SILENCE_MS))
        for name, jobs in zip(dead[::2], dead[1::2], strict=True):
            log.warning("worker_died", worker=name.decode(), jobs_given_back=jobs)

    async def bury_neighbours(self) -> None:
        """Give back the jobs of workers that died in this very place at once, without waiting for their lease to end.

        Raises as the store does.
        """
        here = place()
        for name in await self.store.call("SMEMBERS", WORKERS) if here else ():
            told = await self.store.call("HMGET", rq_worker_key(name.decode()), "place", "pid", "queues")
            if told[0] == here.encode() and name != self.name.encode() and not _lives(int(told[1] or 0)):
                await self.store.script(*queue_scripts.remove_worker(name, told[2] or b"", died=True))
                log.warning("worker_died", worker=name.decode(), jobs_given_back="at once")

    async def leave(self) -> None:
        """Give back what is left, then the lease. With Redis away the lease runs out, and a reaper does the same."""
        try:
            await self.store.script(*queue_scripts.remove_worker(self.name, self.queues, died=False))
        except RedisError as error:
            log.warning("left_without_goodbye", worker=self.name, error=type(error).__name__)
        self._valid_until = 0.0
        await self.store.close()


@cache
def place() -> str:
    """Name where this process runs, so exactly that a pid means the same process to all who run there.

    That is one boot of one machine and one pid namespace of it; empty where it cannot be told (no Linux).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    if pid <= 0:  # no process, but a group of them
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:  # hidden from us, or gone just now: the next look tells
        return True
    return state not in {"Z", "X"}  # dead, and its parent has not looked yet
