"""One connection to Redis that all callers of a process share: the commands of one turn of the event loop leave
together, the answers come back in order.

redis-py opens the connection (TLS, unix sockets, user and password, Sentinel's primary), then its transport is taken
over: from a command to its answer, redis-py's own way needs about ten times the CPU time, and a ring makes five.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.store.retry import parse_error
from bellhop.store.scripts import Argument


class SharedConnection(asyncio.Protocol):
    """Lives as long as its connection does. `open` it, `ask` while it is `usable`, `close` it."""

    def __init__(self, timeout_s: float) -> None:
        self.usable = False
        self.in_doubt = False
        """Whether its server was silent for so long that another may be the primary now."""
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=parse_error)
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        """When each command was sent (loop time), and who waits for its answer."""
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: list[bytes] = []

    async def open(self, connection: AbstractConnection) -> None:
        """Connect; raises as redis-py does."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection  # whoever forgets it closes it
        await connection.connect()  # type: ignore[no-untyped-call]
        writer = connection._writer
        assert writer is not None  # noqa: S101 - it is connected
        self.server = getattr(connection, "host", ""), getattr(connection, "port", 0)
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self.usable = not self._transport.is_closing()

    def ask(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        """Send a command; returns its answer to come: a RedisError where Redis answers with one, or not at all.

        Cancelled, it leaves the answer to nobody.
        """
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # raises for what is no command: before it counts
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

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.usable:
            self._transport.write(b"".join(unsent))

    async def close(self) -> None:
        """Close the connection; whoever waits for an answer gets none."""
        self._fail(RedisConnectionError("the connection is closed"))
        await self._connection.disconnect(nowait=True)

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        """Hand the answers out."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                _, future = self._waiting.popleft()
                if isinstance(answer, ReadOnlyError):
                    # The next connection is made to the primary.
                    self.usable, answer = False, RedisConnectionError("this server is a replica now")
                if not future.done():
                    future.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self._abort(RedisConnectionError("Redis sent what is no answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._fail(RedisConnectionError("the connection was lost"))

    def pause_writing(self) -> None:
        """Do nothing: the time-out ends what a server does not read."""

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
