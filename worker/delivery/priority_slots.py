"""A limit for pushes that gives its places to rings first, and to all tenants and rings alike."""

import asyncio

from bellhop.domain.push import RINGING, PushKind
from worker.delivery.fair_queue import NO_GROUP, FairQueue, Group

Waiting = FairQueue[asyncio.Future[None]]


class PrioritySlots:
    """At most `limit` pushes hold a place. A free place goes to a push of a ring before any other push.

    Tenants take turns, and so do the rounds of a tenant: a ring of two phones does not wait until all pushes of a ring
    of thousands of phones have places.
    Pushes that are not rings hold at most three quarters of the places, so that rings need not wait for their answers.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._most_others = limit, max(1, limit * 3 // 4)
        self._held = self._held_by_others = 0
        self._rings, self._others = Waiting(), Waiting()

    def hold(self, kind: PushKind, group: Group = NO_GROUP) -> "Place":
        """Wait for a place, and hold it: `async with slots.hold(kind, group)`."""
        return Place(self, kind, group)

    def waiting(self, group: Group) -> int:
        """How many pushes of a round wait for a place."""
        return self._rings.waiting(group) + self._others.waiting(group)

    async def acquire(self, kind: PushKind, group: Group = NO_GROUP) -> None:
        """Wait for a place. `release` it in the end."""
        ring = kind in RINGING
        if self._is_free(ring=ring) and not self._rings and not self._others:
            self._count(1, ring=ring)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._rings if ring else self._others).put(group, future)
        self._give()
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # the place was given in the turn of the loop in which this task is cancelled
                self.release(kind)
            raise

    def release(self, kind: PushKind) -> None:
        """Give a place back."""
        self._count(-1, ring=kind in RINGING)
        self._give()

    def _give(self) -> None:
        """Give the free places to those who wait."""
        for waiting, ring in ((self._rings, True), (self._others, False)):
            while waiting and self._is_free(ring=ring):
                future = waiting.get()
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

    def __init__(self, slots: PrioritySlots, kind: PushKind, group: Group) -> None:
        self._slots, self._kind, self._group = slots, kind, group

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._kind, self._group)

    async def __aexit__(self, *_: object) -> None:
        self._slots.release(self._kind)
