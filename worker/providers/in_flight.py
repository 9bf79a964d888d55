"""Counts the requests of a sender that are under way, so that closing it can wait for them."""

import asyncio


class InFlight:
    """`with in_flight:` around each request; `await in_flight.drained()` before the connections are closed."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self.closed = False
        """Set when no further request may begin."""

    def __enter__(self) -> None:
        self._count += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def drained(self) -> None:
        """Let no further request begin, and wait until there is none."""
        self.closed = True
        if self._count:
            await self._idle.wait()
