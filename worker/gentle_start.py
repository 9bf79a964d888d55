"""Jobs that may wait begin a few at a time: rings share the event loop and Redis with them.

A call that a hundred people missed has a hundred notices and e-mails. If all of them began together, a ring would wait
for a step of each, at each of its own steps.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bellhop.clock import Seconds
from worker.queue.running_jobs import Handler

BEGINNING = 2
"""Jobs that begin at the same time."""
LONGEST_S = Seconds(0.02)
"""A job that takes longer to begin does not count any more: it may wait for a connection."""

Begun = Callable[[], None]


class GentleStart:
    """A limit that several handlers share. Each gets a function to call when it begins to wait for a provider."""

    def __init__(self, limit: int = BEGINNING, longest_s: Seconds = LONGEST_S) -> None:
        self._places, self._longest_s = asyncio.Semaphore(limit), longest_s

    def __call__(self, handler: Callable[[dict[str, Any], Begun], Awaitable[Any]]) -> Handler:
        """Return a handler that waits until its job may begin."""

        async def run(payload: dict[str, Any]) -> Any:
            await self._places.acquire()
            place = _Place(self._places)
            timer = asyncio.get_running_loop().call_later(self._longest_s, place.give_back)
            try:
                return await handler(payload, place.give_back)
            finally:
                timer.cancel()
                place.give_back()

        return run


class _Place:
    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places

    def give_back(self) -> None:
        """Give the place back, once."""
        places, self._places = self._places, None
        if places is not None:
            places.release()


def not_counted() -> None:
    """Do nothing: for jobs that begin without a limit."""
