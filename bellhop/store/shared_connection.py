"""One connection to Redis that all callers of a process share.

The commands of one turn of the event loop are sent together; the answers come back in order. redis-py opens the
connection (TLS, unix sockets, user and password, Sentinel's primary), then its transport is taken over: redis-py needs
about ten times the CPU time for a command, and a ring makes five.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Seconds
from bellhop.store.redis_internals import parse_error, server_of, transport_of
from bellhop.store.scripts import RawCommand
from bellhop.store.sentinel import DEMOTED


class SharedConnection(asyncio.Protocol):
    """One connection, used once: `open` it, `ask` while it is `usable`, then `close` it."""

    def __init__(self, timeout_s: Seconds) -> None:
        self.usable = False
        self.in_doubt = False
        """Whether an answer was so late that another server may be the primary now (see PrimaryDoubt)."""
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=parse_error)
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        """For each command without an answer, in the order of sending: when it was sent (loop time), and its future."""
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: list[bytes] = []

    async def open(self, connection: AbstractConnection) -> None:
        """Connect; raises as redis-py does."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection  # dropping this reference closes the socket
        await connection.connect()  # type: ignore[no-untyped-call]
        self.server = server_of(connection)
        self._transport = transport_of(connection)
        self._transport.set_protocol(self)
        self.usable = not self._transport.is_closing()

    def ask(self, command: RawCommand) -> "asyncio.Future[Any]":
        """Send a command. The future's result is the answer, or a RedisError if Redis refuses or does not answer.

        If the future is cancelled, the answer is dropped when it comes.
        """
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # raises for an invalid command, before it counts
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.usable:
            future.set_result(RedisConnectionError("the connection was lost"))
            return future
        self._waiting.append((self._loop.time(), future))
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look_at_the_clock)
        return future

    @property
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""
        return self._loop.time() - self._waiting[0][0] if self._waiting else 0.0

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.usable:
            self._transport.write(b"".join(unsent))

    async def close(self) -> None:
        """Close the connection. Every waiting future gets an error."""
        self._fail(RedisConnectionError("the connection is closed"))
        await self._connection.disconnect(nowait=True)

    # asyncio calls these

    def data_received(self, data: bytes) -> None:
        """Set each answer as the result of its command's future. Redis answers in the order of the commands."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                _, future = self._waiting.popleft()
                if isinstance(answer, ReadOnlyError):
                    # The next connection is made to the primary.
                    self.usable, answer = False, RedisConnectionError(DEMOTED, status_code="READONLY")
                if not future.done():
                    future.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self._abort(RedisConnectionError("Redis sent an invalid answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Set an error as the result of every waiting future."""
        self._fail(RedisConnectionError("the connection was lost"))

    def pause_writing(self) -> None:
        """Do nothing: if the server does not read, the time-out ends the connection."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look_at_the_clock)
        else:
            self._abort(RedisTimeoutError("Redis did not answer in time"))

    def _abort(self, error: RedisError) -> None:
        self._fail(error)
        self._transport.abort()

    def _fail(self, error: RedisError) -> None:
        self.usable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(type(error)(*error.args))
