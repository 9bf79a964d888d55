"""Lets a suspect run alone: a job that is suspected of the deaths of workers.

While it runs alone, no other job begins in this process. So if the worker dies, the cause is known, and few other jobs
are interrupted. Other workers go on.
"""

import asyncio
import time

from bellhop.clock import Seconds

FIRST_S = 0.25
"""How long a job with two suspicions runs alone at most."""
DOUBLED = 3
"""How often this time is doubled, once for each further suspicion."""


def alone_s(suspicions: int) -> Seconds:
    """How long a suspect runs alone at most: a job that waits for a provider must not keep others waiting."""
    return Seconds(FIRST_S * 2 ** min(suspicions - 2, DOUBLED))


class Isolation:
    """The suspects of one worker: each runs alone for a while, one after the other."""

    def __init__(self) -> None:
        self._suspects: set[bytes] = set()
        """The ids of the suspects that wait to run alone, and of the suspect that runs alone."""
        self._alone: bytes | None = None
        self._turn = asyncio.Lock()
        self._nobody_alone = asyncio.Event()
        self._nobody_alone.set()
        self._running: dict[asyncio.Task[None], float] = {}
        """When each handler that runs began, in seconds of the monotonic clock."""

    def note_begin(self, task: asyncio.Task[None], at_s: float) -> None:
        """Note that the handler of a job begins."""
        self._running[task] = at_s

    def note_end(self, task: asyncio.Task[None]) -> None:
        """Note that the handler of a job has ended."""
        del self._running[task]

    def begun_within(self, longest_s: Seconds) -> list[asyncio.Task[None]]:
        """Return the jobs whose handlers run, and began less than this ago."""
        since_s = time.monotonic() - longest_s
        return [task for task, began_s in self._running.items() if began_s > since_s]

    @property
    def is_over(self) -> bool:
        """Whether other jobs may begin now."""
        return not self._suspects

    async def wait_until_over(self) -> None:
        """Wait until other jobs may begin."""
        if self._suspects:
            await self._nobody_alone.wait()

    def announce(self, job_id: bytes) -> None:
        """From now on, no other job begins."""
        self._suspects.add(job_id)
        self._nobody_alone.clear()

    async def begin(self, job_id: bytes) -> None:
        """Wait for the turn of this suspect. `end` must follow, also if this is cancelled."""
        self.announce(job_id)
        await self._turn.acquire()
        self._alone = job_id

    def end(self, job_id: bytes) -> None:
        """End the suspect's time alone, if it has not ended yet."""
        self._suspects.discard(job_id)
        if self._alone == job_id:
            self._alone = None
            self._turn.release()
        if not self._suspects:
            self._nobody_alone.set()
