"""For tests that wait for what other processes do."""

import asyncio
import time


async def come_true(condition, within_s=30):
    """Wait until a condition holds."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)
