"""Run code that waits on the event loop's thread. While it waits, the loop runs other tasks.

SQLAlchemy's asyncio extension does the same. The code must wait only by `wait_for`.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class LoopGreenlet(greenlet):
    """A greenlet that the event loop's thread runs: `LoopGreenlet(function).switch()`."""


def on_the_loop() -> bool:
    """Return whether this code runs in a LoopGreenlet. Then it must not block."""
    return isinstance(getcurrent(), LoopGreenlet)


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait, in a LoopGreenlet, until `awaitable` is done; returns its result or raises its exception."""
    here = getcurrent()
    future = awaitable if isinstance(awaitable, asyncio.Future) else asyncio.ensure_future(awaitable)
    future.add_done_callback(here.switch)
    assert here.parent is not None  # noqa: S101 - only the loop's own greenlet has no parent
    here.parent.switch()
    return future.result()
