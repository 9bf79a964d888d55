"""The processes of the installation, by machine, with their clocks."""

from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros, Seconds
from bellhop.queue.worker_status import InstallationState
from bellhop.store.redis_clock import APART_S
from bellhop.telemetry.web_processes import read_web_processes


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
        if self.clock_ahead_s is None:
            return "not known yet"
        if abs(self.clock_ahead_s) < 0.05:
            return "as Redis's"
        return f"{abs(self.clock_ahead_s):.1f} s {'ahead' if self.clock_ahead_s > 0 else 'behind'}"

    @property
    def is_apart(self) -> bool:
        """Whether the clock is wrong."""
        return self.clock_ahead_s is not None and abs(self.clock_ahead_s) >= APART_S


def processes(redis: Redis, state: InstallationState, now: Micros) -> list[Process]:
    """Return all processes, by machine. Raises redis.exceptions.RedisError."""
    web = [
        Process(process.machine, "web", str(process.pid), process.version, "", process.clock_ahead_s)
        for process in read_web_processes(redis, now)
    ]
    return sorted([*web, *(_worker(state, name) for name in state.live())], key=lambda process: process[:3])


def _worker(state: InstallationState, name: str) -> Process:
    status = state.statuses.get(name)
    queues = ", ".join(queue.removeprefix("bellhop-") for queue, workers in state.workers.items() if name in workers)
    if status is None:
        return Process("", "worker", name, "", queues, None)
    return Process(status.machine, "worker", name, status.version, queues, status.clock_ahead_s)
