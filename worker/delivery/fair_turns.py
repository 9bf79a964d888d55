"""Limits how many pushes are sent in one turn of the event loop. Until it ends, nothing else in the worker runs."""

import asyncio

from bellhop.domain.push import PushKind
from worker.delivery.fair_queue import NO_GROUP, Group
from worker.delivery.priority_slots import PrioritySlots

SENT_AT_ONCE = 8
"""Pushes that are sent in one turn. Each takes about 0.1 ms."""
FEW = 8
"""The next part of a large ring begins when at most so many of its pushes wait to be sent. Claims must not get old."""
PATIENCE = 20
"""For how many turns a part of a large ring waits for small rings: they need about 12 turns until they are sent."""


class FairTurns:
    """Lets at most `limit` pushes go on in a turn of the event loop: rings first, and all rings alike."""

    def __init__(self, limit: int = SENT_AT_ONCE) -> None:
        self._slots = PrioritySlots(limit)
        self.beginning: set[Group] = set()
        """The small rings that have begun and sent nothing so far: large rings let them go first."""

    async def wait(self, kind: PushKind, group: Group = NO_GROUP) -> None:
        """Wait for a place in a turn. It is free again in the next turn."""
        await self._slots.acquire(kind, group)
        self.beginning.discard(group)
        asyncio.get_running_loop().call_soon(self._slots.release, kind)

    async def let_others_go_first(self, group: Group) -> None:
        """Wait, between two parts of a large ring, until few of its pushes wait and no small ring begins."""
        patience = PATIENCE
        while patience:
            await asyncio.sleep(0)
            if self._slots.waiting(group) > FEW:
                continue
            if not self.beginning:
                return
            patience -= 1
