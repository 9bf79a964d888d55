"""Clocks that differ, for tests."""

from bellhop.domain.clock_offset import ClockOffset
from bellhop.store import clock_differences
from bellhop.store.async_client import Store
from bellhop.store.homes import ALONE


async def know_difference(store: Store, ahead_s: float) -> None:
    """Let Bellhop know that Redis's clock is so far ahead of Stream's."""
    for command in clock_differences.write("default", ClockOffset(round(ahead_s * 1e6)), *ALONE):
        await store.call(*command)
