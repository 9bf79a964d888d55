"""The processes of the installation, by machine, with their clocks."""

from collections.abc import Sequence
from typing import NamedTuple

from redis import Redis

from bellhop.clock import Seconds, seconds
from bellhop.queue.worker_status import InstallationState
from bellhop.store import clock_differences
from bellhop.store.blocking_client import together
from bellhop.store.homes import Partition
from bellhop.store.keys import WEB_PROCESSES
from bellhop.store.redis_clock import APART_S
from bellhop.telemetry.web_processes import read_web_processes
from webhook.readable_part import ReadablePart


class Process(NamedTuple):
    """One process."""

    machine: str
    """Empty if it is not known: the worker has just started, or is of an older version."""
    kind: str
    name: str
    """A worker's name, or the pid of a web process."""
    version: str
    queues: str
    clock_ahead_s: Seconds | None
    """How far its clock is ahead of Redis's; None if it is not known."""

    @property
    def clock(self) -> str:
        """The clock as a text."""
        return clock_in_words(self.clock_ahead_s)

    @property
    def is_apart(self) -> bool:
        """Whether the clock is wrong."""
        return self.clock_ahead_s is not None and abs(self.clock_ahead_s) >= APART_S


def clock_in_words(ahead_s: Seconds | None) -> str:
    """Say how far a clock is ahead of Redis's."""
    if ahead_s is None:
        return "not known yet"
    if abs(ahead_s) < 0.05:
        return "as Redis's"
    return f"{abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}"


def stream_clocks(redis: Redis, tenants: Sequence[str], among: Sequence[Partition]) -> dict[str, Seconds | None]:
    """Return how far Stream's clock is ahead of Redis's, as the events of each app show; None before the first event.

    `among`: only these partitions are read. Raises redis.exceptions.RedisError.
    """
    reads = [clock_differences.read(tenant, partition) for tenant in tenants for partition in among]
    answers = iter(together(redis, *reads))
    known = {tenant: clock_differences.latest([next(answers) for _ in among]) for tenant in tenants}
    return {tenant: seconds(-offset.applied_us) if offset.fitted_at else None for tenant, offset in known.items()}


def processes(part: ReadablePart, state: InstallationState) -> list[Process]:
    """Return all processes that can be read, by machine. Raises redis.exceptions.RedisError."""
    web = [
        Process(process.machine, "web", str(process.pid), process.version, "", process.clock_ahead_s)
        for process in (read_web_processes(part.redis, part.now()) if part.has(WEB_PROCESSES) else ())
    ]
    return sorted([*web, *(_worker(state, name) for name in state.live())], key=lambda process: process[:3])


def _worker(state: InstallationState, name: str) -> Process:
    status = state.statuses.get(name)
    queues = ", ".join(queue.removeprefix("bellhop-") for queue, workers in state.workers.items() if name in workers)
    if status is None:
        return Process("", "worker", name, "", queues, None)
    return Process(status.machine, "worker", name, status.version, queues, status.clock_ahead_s)
