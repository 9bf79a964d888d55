"""A time limit that reads what has arrived before it ends the waiting for an answer."""

import asyncio
from types import TracebackType

from bellhop.clock import Seconds

LATE_S = 0.1
"""A limit that is found so much too late was not watched: this process stood still, or was very busy."""
READING_S = 0.25
"""How long then to go on reading: an answer may have arrived long ago, and be unread."""


class AnswerTimeout:
    """Like asyncio.timeout. But if the process stood still until after the limit, what has arrived is read first."""

    def __init__(self, limit_s: Seconds) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends_s = self._loop.time() + limit_s
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()  # starts nothing yet: it has no limit
        self._timer = self._loop.call_at(self._ends_s, self._check)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _check(self) -> None:
        if self._loop.time() - self._ends_s > LATE_S:
            self._timer = self._loop.call_later(READING_S, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._timeout.reschedule(self._loop.time())
