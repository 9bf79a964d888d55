"""Records that may be written together with the end of their job: it saves one of a ring's round trips to Redis.

A record that is added is written at the end of this turn of the event loop, unless the job ends in this turn. Then
`take` hands it over, and the queue writes it in the same packet as the end of the job. docs/decisions/0007 says what
this brings.
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
        """Have a record written, with the end of the job or before."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def take(self) -> list[Command]:
        """Hand over what is not being written yet. The caller must run it with the end of the job."""
        waiting, self._waiting = self._waiting, []
        return [self._fence.command(waiting)] if waiting else []

    async def written(self) -> None:
        """Wait until everything that is being written has been written."""
        if self._writing:
            await asyncio.gather(*self._writing)

    async def flush(self) -> None:
        """Write everything now: the job does not end here, and its next run must know what was sent."""
        self._write()
        await self.written()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            task = asyncio.ensure_future(self._fence.write(record))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
