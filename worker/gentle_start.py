"""Jobs that may wait begin a few at a time: rings share the event loop and Redis with them.

A call that a hundred people missed has a hundred notices and e-mails. If all of them began together, a ring would wait
for a step of every notice and e-mail, at each of its own steps.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from bellhop.clock import Seconds
from worker.queue.running_jobs import Handler

BEGINNING = 2
"""Jobs that begin at the same time."""
LONGEST_S = Seconds(0.02)
"""After this time, a job does not count as beginning any more: it may wait for a connection."""

Begun = Callable[[], None]


class GentleStart:
    """A limit that several handlers share. Each gets a function to call when it begins to wait for a provider."""

    def __init__(self, limit: int = BEGINNING, longest_s: Seconds = LONGEST_S) -> None:
        self._places, self._longest_s = asyncio.Semaphore(limit), longest_s

    def __call__(self, handler: Callable[[dict[str, Any], Begun], Awaitable[Any]]) -> Handler:
        """Return a handler that waits until its job may begin."""

        async def run(payload: dict[str, Any]) -> Any:
            await self._places.acquire()
            with contextlib.ExitStack() as place:  # closing it again does nothing: the place is given back once
                place.callback(self._places.release)
                timer = asyncio.get_running_loop().call_later(self._longest_s, place.close)
                place.callback(timer.cancel)
                return await handler(payload, place.close)

        return run
