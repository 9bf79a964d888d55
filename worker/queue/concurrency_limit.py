"""How many jobs of a queue one worker has in memory at the same time."""

import asyncio


class ConcurrencyLimit:
    """At most `limit` jobs; only `take` may exceed it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether there is no room for another job."""
        return self._jobs >= self._limit

    async def acquire(self, most: int = 1) -> int:
        """Make room for up to `most` jobs; returns for how many. Waits until there is room for one, or until closed."""
        while self.full and not self._closed:
            self._changed.clear()
            await self._changed.wait()
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

    def close(self) -> None:
        """End all waiting: this worker takes no more jobs."""
        self._closed = True
        self._changed.set()
