"""Removes data that nobody uses any more, once a day, one worker for the installation. Off by default."""

import asyncio
from functools import partial

import structlog

from bellhop.audience import Audience, tell_of_removal
from bellhop.clock import Seconds
from bellhop.domain.announcement import UNUSED
from bellhop.privacy.unused_data import KeptDays, count_unused, remove_unused
from bellhop.privacy.walk import run
from bellhop.store.async_client import Store
from bellhop.store.keys import UNUSED_DATA_TURN

EVERY_S = Seconds(600.0)
"""How often a worker checks whether the day is over."""
DAY_S = 24 * 3600
PAUSE_S = Seconds(0.01)
"""Between two steps, so that rings and Redis are not slowed down."""

log = structlog.get_logger()


class UnusedDataRemover:
    """Makes the passes of one worker."""

    def __init__(self, store: Store, worker: str, kept: KeptDays, audience: Audience | None) -> None:
        self._store, self._worker, self._kept = store, worker, kept
        self._tell = partial(tell_of_removal, audience, reason=UNUSED)

    async def keep_removing(self) -> None:
        """Make a pass each day."""
        while True:
            await self.remove_if_due()
            await asyncio.sleep(EVERY_S)

    async def remove_if_due(self) -> None:
        """Make the day's pass, unless a worker has begun it. If that worker dies, the next day's pass does its work.

        Raises as the store does.
        """
        if not await self._store.call("SET", UNUSED_DATA_TURN, self._worker, "NX", "EX", DAY_S):
            return
        pause, among = partial(asyncio.sleep, PAUSE_S), self._store.partitions
        counts = await run(count_unused(self._kept.devices, among), self._store, pause)
        braked = {app: count for app, count in counts.items() if count.is_braked}
        for (tenant, provider, app), count in braked.items():
            log.warning("unused_devices_kept", tenant=tenant, provider=provider, app=app, **count._asdict())
        removed = await run(remove_unused(self._kept, self._tell, among, braked), self._store, pause)
        log.info("unused_data_removed", **removed)
