"""How many jobs of a queue one worker has in memory at the same time."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

SHARE = 4
"""The jobs of a tenant are at most this many times the free places. So one tenant alone gets four fifths of all places,
and another tenant always finds a free place."""


class ConcurrencyLimit:
    """At most `limit` jobs; only `take` may exceed it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs = self._lent = 0
        self._changed = asyncio.Event()
        self._closed = False
        self._tenants: Counter[str] = Counter()
        """By tenant, the jobs in memory. Jobs without a tenant are not counted."""
        self.taking = asyncio.Lock()
        """Held while jobs are taken from one of several partitions, if tenants take turns."""

    @property
    def tenants_with_share(self) -> list[str]:
        """The tenants that may begin no further job now."""
        most = SHARE * max(1, self._limit - self._jobs)
        return [tenant for tenant, jobs in self._tenants.items() if jobs >= most]

    def note_begin(self, tenant: str) -> None:
        """Count a job that begins for its tenant."""
        if tenant:
            self._tenants[tenant] += 1

    def note_end(self, tenant: str) -> None:
        """Count a job that has ended."""
        if tenant:
            self._tenants[tenant] -= 1
            if not self._tenants[tenant]:
                del self._tenants[tenant]

    @property
    def full(self) -> bool:
        """Whether there is no room for another job."""
        return self._jobs >= self._limit

    async def wait_for_place(self) -> None:
        """Wait until there is room for a job, or until closed."""
        while self.full and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def acquire(self, most: int = 1) -> int:
        """Make room for up to `most` jobs; returns for how many. Waits until there is room for one, or until closed."""
        await self.wait_for_place()
        jobs = max(1, min(most, self._limit - self._jobs))
        self.take(jobs)
        return jobs

    def take(self, jobs: int = 1) -> None:
        """Count jobs that begin, also if there is no room for them."""
        self._jobs += jobs

    def release(self, jobs: int = 1) -> None:
        """Count jobs that have ended, or did not begin."""
        self._jobs -= jobs
        self._changed.set()

    def lend(self) -> bool:
        """Give the place of a running job to another one, unless as many places as the limit are lent already."""
        if self._lent >= self._limit:
            return False
        self._lent += 1
        self.release()
        return True

    def take_back(self) -> None:
        """Count a job again whose place was lent."""
        self._lent -= 1
        self.take()

    def close(self) -> None:
        """End all waiting: this worker takes no more jobs."""
        self._closed = True
        self._changed.set()


def limits_of(places: Mapping[str, int]) -> dict[str, ConcurrencyLimit]:
    """Make a limit for each queue; `places`: how many jobs of it run at the same time."""
    return {queue: ConcurrencyLimit(limit) for queue, limit in places.items()}


limit_of_job: ContextVar[ConcurrencyLimit] = ContextVar("limit_of_job")
"""The limit that counts the job that runs here."""


@contextmanager
def waiting_without_place() -> Iterator[None]:
    """While a job only waits for a time, another job may have its place. The job stays on the in-flight list."""
    limit = limit_of_job.get(None)
    lent = limit is not None and limit.lend()
    try:
        yield
    finally:
        if limit is not None and lent:
            limit.take_back()
