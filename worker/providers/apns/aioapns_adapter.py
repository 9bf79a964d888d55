"""One HTTP/2 connection to Apple: aioapns' protocol with the handling of streams replaced."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

import structlog
from aioapns.connection import H2Protocol
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from worker.providers.apns.apns_stream import ApnsStream, DelayedError, UnknownError, UnsentError
from worker.providers.apns.h2_adapter import Http2

PING_EVERY_S = 60.0
PING_TIMEOUT_S = 3.0
QUIET_S = 10.0
"""After so long without a word from Apple, a request takes a PING along: a dead connection shows sooner."""
MAX_STREAMS = 500
LAST_STREAM_ID = 2**31 - 1001
"""A connection that has come so far through the 31 bits of stream ids is replaced."""

log = structlog.get_logger()


class ApnsConnection(H2Protocol):
    """Sends requests while it is `usable`, and answers every one of them whatever becomes of the connection.

    A connection is never closed for idleness: Apple wants it kept for hours and days. It leaves by GOAWAY or `retire`
    (what is in flight finishes), by `abort`, or because the peer closes it. `on_change` is called each time that it
    stops being usable, and when it is so again.
    """

    conn: Http2

    def __init__(self, on_change: Callable[["ApnsConnection"], None]) -> None:
        super().__init__()
        self.conn = Http2()
        self._loop = asyncio.get_running_loop()
        # What a push sets going may end the connection, and the line that says so is not about that push's webhook.
        self._context = Context()
        self._on_change = on_change
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the peer has sent its settings; fails with UnsentError when the connection is lost before."""
        self.closed = asyncio.Event()
        self.opened_at = self._loop.time()
        """Loop time in seconds."""
        self.failed_at = -math.inf
        """Loop time in seconds of the last push that failed for the connection's sake or Apple's."""
        self.failures = 0
        """How many did so since the last one that was accepted."""
        self._heard_at = self.opened_at
        self._streams: dict[int, ApnsStream] = {}
        self._queue: deque[ApnsStream] = deque()
        self._unfinished: dict[int, bytes] = {}
        """What is left to send of bodies that did not fit into a stream's window."""
        self._max_streams = 1
        self._retired = self._suspected = self._lost = False
        self._write_scheduled = False
        self._keepalive: asyncio.TimerHandle | None = None
        self._ping_timeout: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether it may take a request."""
        return not (self._lost or self._retired or self._suspected) and self.ready.done()

    @property
    def load(self) -> int:
        """How many requests it has in hand."""
        return len(self._streams) + len(self._queue)

    # Sending

    def request(self, header_block: bytes, body: bytes, not_after: float = math.inf) -> ApnsStream:
        """Send a request as soon as the peer's limits (streams, flow control) allow; `release` it in the end.

        `header_block` is HPACK that uses no table. After the loop time `not_after` (s) it is not sent, but fails with
        DelayedError.
        """
        stream = ApnsStream(header_block, body, self._loop.create_future(), not_after)
        if self._lost or self._retired:
            stream.fail(UnsentError("connection is closing"))
            return stream
        if self._loop.time() - self._heard_at > QUIET_S:
            self.ping()
        self._queue.append(stream)
        self._send_queued()
        return stream

    def release(self, stream: ApnsStream) -> None:
        """Say that nobody waits for `stream` any more; gives an unanswered stream, and only that, back to the peer."""
        stream.future.cancel()
        if self._streams.pop(stream.id, None) and not self._lost:
            self._reset(stream.id)
            self._after_stream()
        elif not stream.id and stream in self._queue:
            self._queue.remove(stream)

    def _send_queued(self) -> None:
        for stream_id in list(self._unfinished):
            self._send_body(stream_id, self._unfinished.pop(stream_id))
        while self._queue and self._has_room(len(self._queue[0].body)):
            stream = self._queue.popleft()
            if self._loop.time() > stream.not_after:
                stream.fail(DelayedError("it waited for its turn too long"))
                continue
            stream.id, rest = self.conn.send_request(stream.header_block, stream.body)
            self._streams[stream.id] = stream
            self.flush()
            if rest:
                self._send_body(stream.id, rest)
            if stream.id > LAST_STREAM_ID:
                self.retire()

    def _has_room(self, size: int) -> bool:
        """Wait rather than start a stream whose body would have to wait: nobody gains by half a request."""
        return (
            len(self._streams) < self._max_streams
            and self.conn.outbound_flow_control_window >= size
            and not self._unfinished
        )

    def _send_body(self, stream_id: int, body: bytes) -> None:
        # New settings may take back window that was given: it can be below zero (RFC 9113, section 6.9.2).
        room = max(0, min(self.conn.local_flow_control_window(stream_id), self.conn.max_outbound_frame_size))
        if body[:room]:
            self.conn.send_data(stream_id, body[:room], end_stream=len(body) <= room)
            self.flush()
        if len(body) > room:
            self._unfinished[stream_id] = body[room:]

    def _reset(self, stream_id: int) -> None:
        self._unfinished.pop(stream_id, None)
        with suppress(ProtocolError):  # it may have ended in the meantime
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
        self.conn.forget(stream_id)
        self.flush()

    def flush(self) -> None:
        """Write what h2 has to send at the end of this turn of the loop: one TLS record for many requests."""
        if not self._write_scheduled:
            self._write_scheduled = True
            self._loop.call_soon(self._write, context=self._context)

    def _write(self) -> None:
        self._write_scheduled = False
        if not self._lost and self.transport is not None and (data := self.conn.data_to_send()):
            self.transport.write(data)

    # The connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to speak HTTP/2."""
        super().connection_made(transport)
        self._keepalive = self._loop.call_later(PING_EVERY_S, self._keep_alive)

    def _keep_alive(self) -> None:
        self._keepalive = self._loop.call_later(PING_EVERY_S, self._keep_alive)
        self.ping()

    def ping(self) -> None:
        """Ask for a sign of life; without one the connection is aborted."""
        if self._ping_timeout is None and not self._lost:
            self.conn.ping(b"bellhop!")
            self.flush()
            why = "no answer to PING"
            self._ping_timeout = self._loop.call_later(PING_TIMEOUT_S, self.abort, why, context=self._context)

    def suspect(self) -> None:
        """A request got no answer in time: take no others until the peer answers a PING."""
        self._suspected = True
        self.ping()
        self._on_change(self)

    def retire(self) -> None:
        """Take no more requests; close when those in flight are answered."""
        if self._retired or self._lost:
            return
        self._retired = True
        queued, self._queue = self._queue, deque()
        for stream in queued:
            stream.fail(UnsentError("connection is closing"))
        self._on_change(self)
        self._loop.call_soon(self._after_stream)

    def _after_stream(self) -> None:
        """A stream is over: use its place, or close the connection after the last one."""
        if self._lost:
            return
        if self._retired and not self._streams:
            self.conn.close_connection()
            self._write()
            if self.transport is not None:
                self.transport.close()
            self._lose("closed")
        else:
            self._send_queued()

    def abort(self, why: str) -> None:
        """Give the connection up; what is in flight fails as unknown."""
        if not self._lost:
            log.warning("apns_connection_aborted", why=why, in_flight=len(self._streams))
            self._lose(why)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        if not self._lost:
            log.info("apns_connection_lost", error=type(exc).__name__ if exc else "closed by Apple")
        self._lose("connection lost")
        self.closed.set()

    def _lose(self, why: str) -> None:
        if self._lost:
            return
        self._lost = True
        for timer in (self._keepalive, self._ping_timeout):
            if timer is not None:
                timer.cancel()
        for stream in self._streams.values():
            stream.fail(UnknownError(why))
        for stream in self._queue:
            stream.fail(UnsentError(why))
        self._streams.clear()
        self._queue.clear()
        if not self.ready.done():
            self.ready.set_exception(UnsentError(why))
        self._on_change(self)

    # Receiving

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        self._heard_at = self._loop.time()
        try:
            events = self.conn.receive_data(data)
        except ProtocolError as error:
            self.abort(f"protocol error: {type(error).__name__}")
            return
        for event in events:
            if handler := HANDLERS.get(type(event)):
                handler(self, event)
        self.flush()

    def _on_response(self, event: ResponseReceived) -> None:
        if stream := self._streams.get(event.stream_id or 0):
            stream.read_headers(event.headers or ())

    def _on_data(self, event: DataReceived) -> None:
        stream_id = event.stream_id or 0
        if stream := self._streams.get(stream_id):
            stream.read_body(event.data or b"")
        if event.flow_controlled_length:
            self.conn.acknowledge_received_data(event.flow_controlled_length, stream_id)

    def _on_end(self, event: StreamEnded) -> None:
        if stream := self._streams.pop(event.stream_id or 0, None):
            stream.answer()
            if stream.status == 200:
                self.failures = 0
            if stream.id in self._unfinished:  # answered before the whole request was sent
                self._reset(stream.id)
            self.conn.forget(stream.id)
            self._after_stream()

    def _on_reset(self, event: StreamReset) -> None:
        if stream := self._streams.pop(event.stream_id or 0, None):
            self._unfinished.pop(stream.id, None)
            self.conn.forget(stream.id)
            error = UnsentError if event.error_code == ErrorCodes.REFUSED_STREAM else UnknownError
            stream.fail(error(f"stream reset: {_name(event.error_code)}"))
            self._after_stream()

    def _on_settings(self, event: RemoteSettingsChanged) -> None:
        self._max_streams = min(self.conn.remote_settings.max_concurrent_streams, MAX_STREAMS)
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_queued()

    def _on_window(self, event: WindowUpdated) -> None:
        self._send_queued()

    def _on_pong(self, event: PingAckReceived) -> None:
        if self._ping_timeout is not None:
            self._ping_timeout.cancel()
            self._ping_timeout = None
        if self._suspected:
            self._suspected = False
            self._on_change(self)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        reason = (event.additional_data or b"")[:200].decode("ascii", "replace")
        log.info("apns_connection_ends", code=_name(event.error_code), reason=reason, in_flight=len(self._streams))
        last_stream_id = event.last_stream_id or 0
        for stream_id in [stream_id for stream_id in self._streams if stream_id > last_stream_id]:
            self._unfinished.pop(stream_id, None)
            self._streams.pop(stream_id).fail(UnsentError("Apple closed the connection before the request"))
        self.retire()


HANDLERS: dict[type[Event], Callable[[ApnsConnection, Any], None]] = {
    ResponseReceived: ApnsConnection._on_response,
    DataReceived: ApnsConnection._on_data,
    StreamEnded: ApnsConnection._on_end,
    StreamReset: ApnsConnection._on_reset,
    RemoteSettingsChanged: ApnsConnection._on_settings,
    WindowUpdated: ApnsConnection._on_window,
    PingAckReceived: ApnsConnection._on_pong,
    ConnectionTerminated: ApnsConnection._on_goaway,
}


def _name(code: int | None) -> str:
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return str(code)
