"""For tests that wait for what other processes do."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path


async def come_true(condition, within_s=60):
    """Wait until a condition holds."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


def wait_for(condition: Callable[[], bool], within_s: float, errors: tuple[type[Exception], ...], where: Path) -> None:
    """Do the same in a thread; these errors mean "not yet". `where`: what to look at if it never comes true."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except errors:
            pass
        assert time.monotonic() < give_up, f"see {where}"
        time.sleep(0.05)
