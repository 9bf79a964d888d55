"""One connection to Redis that is subscribed to channels.

redis-py opens the connection (TLS, unix sockets, user and password, Sentinel's primary), then its transport is taken
over, as in `shared_connection.py`. So messages need no task. A lost connection is reported and not opened again, since
messages are lost meanwhile.
"""

import asyncio
from collections import Counter
from typing import Any, Protocol

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import Seconds
from bellhop.store.redis_internals import parse_error, transport_of
from bellhop.store.scripts import Argument

PING_S = Seconds(5.0)
"""How often Redis is pinged. If nothing came until the next ping, the connection is lost."""


class ChannelReader(Protocol):
    """Gets what a subscription receives."""

    def subscribed(self, channel: str) -> None:
        """Note that the channel is subscribed: all messages that are published on it from now on arrive."""

    def received(self, channel: str, message: bytes) -> None:
        """Take a message."""


class Subscription(asyncio.Protocol):
    """One connection, used once: `open` it, and open another after it is lost."""

    def __init__(self, reader: ChannelReader) -> None:
        self._channels = reader
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=parse_error)
        self._unconfirmed: Counter[str] = Counter()
        """How many requests to subscribe Redis has not confirmed yet, by channel."""
        self._answered = True
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[RedisError] = self._loop.create_future()
        """Its result is the reason why the connection was lost."""

    async def open(self, connection: AbstractConnection) -> None:
        """Connect; raises as redis-py does."""
        self._connection = connection  # dropping this reference closes the socket
        await connection.connect()  # type: ignore[no-untyped-call]
        self._transport = transport_of(connection)
        self._transport.set_protocol(self)
        self._ping()

    def subscribe(self, *channels: str) -> None:
        """Subscribe to channels. Redis confirms each of them."""
        if channels:
            self._unconfirmed.update(channels)
            self._send("SUBSCRIBE", *channels)

    def unsubscribe(self, channel: str) -> None:
        """End the subscription to a channel."""
        self._send("UNSUBSCRIBE", channel)

    async def close(self) -> None:
        """Close the connection."""
        self._lose(RedisConnectionError("the connection is closed"))
        await self._connection.disconnect(nowait=True)

    # asyncio calls these

    def data_received(self, data: bytes) -> None:
        """Take each message and each confirmation."""
        self._answered = True
        self._reader.feed(data)
        try:
            while not self.lost.done() and (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError:
            self._abort(RedisConnectionError("Redis sent an invalid answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss."""
        self._lose(RedisConnectionError("the connection was lost"))

    def pause_writing(self) -> None:
        """Do nothing: if the server does not read, it does not answer the ping."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def _take(self, reply: Any) -> None:
        if isinstance(reply, RedisError):
            self._abort(reply)
        elif isinstance(reply, list) and reply[0] == b"message":
            self._channels.received(reply[1].decode("utf-8", "replace"), reply[2])
        elif isinstance(reply, list) and reply[0] == b"subscribe":
            self._confirm(reply[1].decode("utf-8", "replace"))

    def _confirm(self, channel: str) -> None:
        """Report that a channel is subscribed, unless Redis has not confirmed a later request to subscribe to it."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] <= 0:
            del self._unconfirmed[channel]
            self._channels.subscribed(channel)

    def _ping(self) -> None:
        if not self._answered:
            self._abort(RedisTimeoutError("Redis did not answer in time"))
            return
        self._answered = False
        self._send("PING")
        self._timer = self._loop.call_later(PING_S, self._ping)

    def _send(self, *command: Argument) -> None:
        if not self.lost.done():
            self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]

    def _abort(self, error: RedisError) -> None:
        self._lose(error)
        self._transport.abort()

    def _lose(self, error: RedisError) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result(error)
