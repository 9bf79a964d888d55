"""How many jobs of a queue are busy at the same time. One whose pushes all wait for a provider counts for none, so that
those behind it are not held up by a provider that they have nothing to do with."""

import asyncio
from typing import NamedTuple


class ConcurrencyLimit:
    """At most `limit` busy jobs, and at most `most` in memory, the waiting ones among them."""

    def __init__(self, limit: int, most: int) -> None:
        self._limit, self._most = limit, most
        self._busy = self._held = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether a job that begins would have to wait."""
        return self._busy >= self._limit or self._held >= self._most

    async def acquire(self, most: int = 1) -> int:
        """Take slots for jobs that begin, up to `most`; returns how many. Waits for one, unless they are closed."""
        while self.full and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        free = min(self._limit - self._busy, self._most - self._held)
        jobs = max(1, min(most, free))
        self.take(jobs)
        return jobs

    def take(self, jobs: int = 1) -> None:
        """Take slots whether they are free or not."""
        self._held += jobs
        self._busy += jobs

    def release(self, jobs: int = 1) -> None:
        """Give the slots of jobs back that have ended, or never began."""
        self._held -= jobs
        self.count(-jobs)

    def count(self, change: int) -> None:
        """Count jobs that go on being busy, or only wait (below 0). Going on needs no free slot."""
        self._busy += change
        self._changed.set()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        self._changed.set()


class JobSlot:
    """One job's: busy while any part of it is."""

    def __init__(self, slots: ConcurrencyLimit | None = None) -> None:
        self._slots, self._parts = slots or ConcurrencyLimit(1, 1), 1

    def busy(self) -> "_Counted":
        """Count one more part as busy, in a `with`."""
        return _Counted(self, 1)

    def idle(self) -> "_Counted":
        """Count one part less, in a `with`: the job itself, while it waits for its parts."""
        return _Counted(self, -1)

    def change(self, change: int) -> None:
        """Count a part that begins to be busy (1), or ends (-1)."""
        was_busy = self._parts > 0
        self._parts += change
        if (self._parts > 0) != was_busy:
            self._slots.count(change)


class _Counted(NamedTuple):
    slot: JobSlot
    by: int

    def __enter__(self) -> None:
        self.slot.change(self.by)

    def __exit__(self, *_: object) -> None:
        self.slot.change(-self.by)
