"""A time limit that reads what has arrived before it ends the waiting for an answer."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from types import TracebackType

from bellhop.clock import Seconds

LATE_S = 0.1
"""If a limit is noticed so much too late, this process stood still, or was very busy."""
READING_S = 0.25
"""How long to go on reading then: an answer may have arrived long ago, but was not read yet."""


class AnswerTimer:
    """Calls a function after a time, unless it is cancelled before.

    If the process stood still until after that time, what has arrived is read first, and may cancel the timer.
    """

    def __init__(self, limit_s: Seconds, call: Callable[[], None], context: Context | None = None) -> None:
        self._loop, self._call, self._context = asyncio.get_running_loop(), call, context
        self._ends_s = self._loop.time() + limit_s
        self._timer = self._loop.call_at(self._ends_s, self._check, context=context)

    def cancel(self) -> None:
        """Do not call the function."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._loop.time() - self._ends_s > LATE_S:
            self._timer = self._loop.call_later(READING_S, self._call, context=self._context)
        else:
            self._call()


class AnswerTimeout:
    """Like asyncio.timeout. But if the process stood still until after the limit, what has arrived is read first."""

    def __init__(self, limit_s: Seconds) -> None:
        loop, timeout = asyncio.get_running_loop(), asyncio.Timeout(None)
        # Not a method: the timer would refer to this object, and both would stay until the garbage is collected.
        self._timeout, self._timer = timeout, AnswerTimer(limit_s, lambda: timeout.reschedule(loop.time()))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()  # starts nothing yet: it has no limit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)
