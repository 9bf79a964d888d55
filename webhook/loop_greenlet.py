"""Run code that waits on the event loop's thread. While it waits, the loop runs other tasks.

SQLAlchemy's asyncio extension does the same. The code must wait only by `wait_for`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Work = Callable[[], object]

MAX_IDLE = 64
"""How many greenlets without work are kept."""


class LoopGreenlet(greenlet):
    """A greenlet that the event loop's thread runs."""


class LoopGreenlets:
    """The greenlets of one event loop. Each does one piece of work after another.

    For the stack of a new greenlet, Python maps 16 KB of memory, and unmaps it at the end. That takes 10 µs.
    """

    def __init__(self) -> None:
        self._idle: list[LoopGreenlet] = []

    def run(self, work: Work) -> None:
        """Run `work` in a greenlet, until it waits or is done."""
        worker = self._idle.pop() if self._idle else LoopGreenlet(self._run_all)
        worker.switch(work)

    def _run_all(self, work: Work | None) -> None:
        here = getcurrent()
        assert isinstance(here, LoopGreenlet)  # noqa: S101 - `run` made it
        assert here.parent is not None  # noqa: S101 - only the loop's own greenlet has no parent
        while work:
            work()
            if len(self._idle) >= MAX_IDLE:
                return
            self._idle.append(here)
            work = None  # it holds the body of a request
            work = here.parent.switch()


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
