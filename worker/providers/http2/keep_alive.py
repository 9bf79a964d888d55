"""The PINGs of one connection."""

import asyncio
from collections.abc import Callable
from contextvars import Context

from bellhop.clock import Seconds
from worker.providers.answer_timeout import AnswerTimer

PAYLOAD = b"bellhop!"
"""A PING carries eight bytes (RFC 9113, section 6.7)."""


class KeepAlive:
    """Sends PINGs, regularly and on demand, and reports when one is not answered in time."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        on_timeout: Callable[[str], None],
        every_s: Seconds,
        timeout_s: Seconds,
        context: Context,
    ) -> None:
        """`on_timeout` gets the reason in words, and is called in `context`."""
        self._send, self._on_timeout = send, on_timeout
        self._every_s, self._timeout_s = every_s, timeout_s
        self._loop, self._context = asyncio.get_running_loop(), context
        self._next: asyncio.TimerHandle | None = None
        self._timeout: AnswerTimer | None = None

    def start(self) -> None:
        """Send a PING regularly from now on."""
        self._next = self._loop.call_later(self._every_s, self._send_next)

    def _send_next(self) -> None:
        self.start()
        self.ping()

    def ping(self) -> None:
        """Send a PING now, unless one is waiting for its answer."""
        if self._timeout is None:
            self._send(PAYLOAD)
            self._timeout = AnswerTimer(self._timeout_s, self._end, self._context)

    def _end(self) -> None:
        self._on_timeout("no answer to PING")

    def answered(self) -> None:
        """Note that the peer has answered the PING."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def stop(self) -> None:
        """Send nothing more, and report nothing more."""
        for timer in (self._next, self._timeout):
            if timer is not None:
                timer.cancel()
