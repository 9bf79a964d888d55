"""How many jobs of a queue one worker has in memory at the same time."""

import asyncio


class ConcurrencyLimit:
    """At most `limit` jobs; `take` may exceed it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether a job that begins must wait."""
        return self._jobs >= self._limit

    async def acquire(self, most: int = 1) -> int:
        """Make room for jobs that begin, up to `most`; returns for how many. Waits for one, unless it is closed."""
        while self.full and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        jobs = max(1, min(most, self._limit - self._jobs))
        self.take(jobs)
        return jobs

    def take(self, jobs: int = 1) -> None:
        """Count jobs that begin, whether there is room or not."""
        self._jobs += jobs

    def release(self, jobs: int = 1) -> None:
        """Count jobs that have ended, or never began."""
        self._jobs -= jobs
        self._changed.set()

    def close(self) -> None:
        """Let no one wait any longer: this worker takes no more jobs."""
        self._closed = True
        self._changed.set()
