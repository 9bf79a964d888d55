"""Records that may be written together with the end of their job: this saves a round trip to Redis for each ring.

A record is written at the end of the turn of the event loop in which it is added. But if its job ends in this turn,
`take` returns it, and the queue writes it in the same packet as the end of the job. docs/decisions/0007 says what this
saves.
"""

import asyncio

from bellhop.store.scripts import Command
from worker.delivery.fence import Fence, Record


class RecordBuffer:
    """The final records of one job's pushes."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._waiting: list[Record] = []
        self._writing: set[asyncio.Task[None]] = set()

    def add(self, record: Record) -> None:
        """Write a record at the end of this turn, unless `take` returns it before."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def take(self) -> list[Command]:
        """Return what is not being written yet. The caller must run it with the end of the job."""
        waiting, self._waiting = self._waiting, []
        return self._fence.commands(waiting) if waiting else []

    async def written(self) -> None:
        """Wait until all writing has ended. Raises if Redis refused a record."""
        while self._writing:
            # Not gather(): if the job is cancelled while it waits here, its records must be written all the same.
            done, _ = await asyncio.wait(self._writing)
            self._writing -= done
            errors = [error for task in done if (error := task.exception())]
            if errors:
                raise errors[0]

    async def flush(self) -> None:
        """Write everything now: this run fails or is interrupted, and the next run must know what was sent."""
        self._write()
        await self.written()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._writing |= {asyncio.ensure_future(self._fence.write(record)) for record in waiting}
