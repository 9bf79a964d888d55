"""Makes forgotten people unreadable in all keys, pass by pass, one worker for the installation."""

import asyncio

import structlog

from bellhop.clock import Seconds
from bellhop.privacy.forgetting_people import erase_due
from bellhop.privacy.walk import run
from bellhop.store.async_client import Store
from bellhop.store.keys import ERASURE_TURN, ERASURES

EVERY_S = Seconds(5.0)
"""How often a worker checks whether a pass is due."""
PAUSE_S = Seconds(0.01)
"""Between two steps, so that rings and Redis are not slowed down."""
TURN_S = 60
"""Longer than a step takes. If it ends too early, a second worker makes the same pass, which does no harm."""

log = structlog.get_logger()


class Erasures:
    """Makes the passes of one worker."""

    def __init__(self, store: Store, worker: str) -> None:
        self._store, self._worker = store, worker

    async def keep_erasing(self) -> None:
        """Make each pass when it is due."""
        while True:
            if await self._store.call("ZCARD", ERASURES):
                await self.erase_due()
            await asyncio.sleep(EVERY_S)

    async def erase_due(self) -> None:
        """Make one pass for all people whose pass is due, unless another worker makes it. Raises as the store does."""
        if not await self._store.call("SET", ERASURE_TURN, self._worker, "NX", "EX", TURN_S):
            return
        counts = await run(erase_due(self._store.partitions), self._store, self._between_steps)
        await self._store.call("DEL", ERASURE_TURN)
        if counts is not None:
            log.info("people_erased", changed=sum(counts.values()))

    async def _between_steps(self) -> None:
        await self._store.call("EXPIRE", ERASURE_TURN, TURN_S)
        await asyncio.sleep(PAUSE_S)
