"""For tests that wait for what other processes do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

TICK_S = 0.01


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


@asynccontextmanager
async def loop_clock() -> AsyncIterator[Callable[[], float]]:
    """Yield a clock, in seconds, that stands still while the event loop does.

    With it, a test can limit how long something takes: a pause of the machine does not count.
    """
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1

    ticking = asyncio.create_task(tick())
    try:
        yield lambda: ticks * TICK_S
    finally:
        ticking.cancel()
