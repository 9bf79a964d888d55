"""A limit for pushes that gives its places to rings first."""

import asyncio
from collections import deque

from bellhop.domain.push import PushKind


class PrioritySlots:
    """At most `limit` pushes hold a place. A free place goes to a ring before any other push, and else by arrival.

    Pushes that are not rings hold at most three quarters of the places, so that rings need not wait for their answers.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._most_others = limit, max(1, limit * 3 // 4)
        self._held = self._held_by_others = 0
        self._rings: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    def hold(self, kind: PushKind) -> "Place":
        """Wait for a place, and hold it: `async with slots.hold(kind)`."""
        return Place(self, ring=kind is PushKind.RING)

    async def acquire(self, *, ring: bool) -> None:
        """Wait for a place. `release` it in the end."""
        if self._is_free(ring=ring) and not self._rings and not self._others:
            self._count(1, ring=ring)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._rings if ring else self._others).append(future)
        self._give()
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # the place was given in the turn of the loop in which this task is cancelled
                self.release(ring=ring)
            raise

    def release(self, *, ring: bool) -> None:
        """Give a place back."""
        self._count(-1, ring=ring)
        self._give()

    def _give(self) -> None:
        """Give the free places to those who wait."""
        for waiting, ring in ((self._rings, True), (self._others, False)):
            while waiting and self._is_free(ring=ring):
                future = waiting.popleft()
                if not future.done():  # not cancelled
                    self._count(1, ring=ring)
                    future.set_result(None)

    def _is_free(self, *, ring: bool) -> bool:
        return self._held < self._limit and (ring or self._held_by_others < self._most_others)

    def _count(self, places: int, *, ring: bool) -> None:
        self._held += places
        if not ring:
            self._held_by_others += places


class Place:
    """A place that is held inside `async with`. Leaving it never waits."""

    def __init__(self, slots: PrioritySlots, *, ring: bool) -> None:
        self._slots, self._ring = slots, ring

    async def __aenter__(self) -> None:
        await self._slots.acquire(ring=self._ring)

    async def __aexit__(self, *_: object) -> None:
        self._slots.release(ring=self._ring)
