"""What is the same in all partitions of one worker."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from worker.queue.concurrency_limit import ConcurrencyLimit
from worker.queue.isolation import Isolation
from worker.queue.running_jobs import Handler


class QueueNames(NamedTuple):
    """The queues of a worker, and those of its installation."""

    taken: Sequence[str]
    """This worker takes jobs from them."""
    others: Sequence[str] = ()
    """Only other workers of the installation take jobs from them."""
    old: Mapping[str, str] = MappingProxyType({})
    """What older versions call queues, and their names now."""

    @property
    def ours(self) -> list[str]:
        """All queues, by their names now."""
        return [*self.taken, *self.others]

    @property
    def old_served(self) -> list[str]:
        """What older versions call the queues that this worker serves.

        Their web processes are ready only while a worker serves the queues by these names.
        """
        return [old for old, new in self.old.items() if new in self.taken]

    @property
    def served(self) -> list[str]:
        """The queues that this worker serves, by all their names."""
        return [*self.taken, *self.old_served]

    @property
    def all_names(self) -> list[str]:
        """All queues, by all their names."""
        served = self.served
        return [*served, *self.others, *(old for old in self.old if old not in served)]


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What is the same in all partitions of one worker; `QueueWorker` explains it."""

    name: str
    queues: QueueNames
    limits: Mapping[str, ConcurrencyLimit]
    isolation: Isolation
    find_handler: Callable[[str], Handler | None]
    describe: Callable[..., dict[str, Any]]
    """Returns the fields of RQ's worker hash, if the worker is `busy` or `suspended` in a partition."""
    job_names: Sequence[str]
    in_turn: bool
    work_off_agenda: Callable[[Store], Awaitable[None]] | None
    note_redis: Callable[[RedisError | None], None]
    clock: RedisClock
