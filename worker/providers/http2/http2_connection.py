"""The life of one HTTP/2 connection: from the handshake to the last answer."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

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

from bellhop.clock import Seconds
from worker.providers.http2.aioapns_adapter import AioapnsProtocol
from worker.providers.http2.connection_log import ConnectionLog
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_stream import Http2Stream, NotHttp2Error, UnknownError, UnsentError
from worker.providers.http2.keep_alive import KeepAlive
from worker.providers.http2.stream_table import StreamTable


def retrieve_error(done: asyncio.Future[None]) -> None:
    """Retrieve the error of a future, if it failed: asyncio logs an error that nobody has retrieved."""
    if not done.cancelled():
        done.exception()


class Http2Connection(AioapnsProtocol):
    """Sends requests while it is `usable`. Every request gets a response or an error, whatever the connection does.

    A quiet connection stays open, unless the policy has a limit for idle ones. It ends by GOAWAY or `retire` (both
    let requests in flight finish), by `abort`, or when the peer closes it. `on_change` is called each time that it
    becomes unusable, and when it becomes usable again.
    """

    def __init__(
        self, on_change: Callable[["Http2Connection"], None], policy: ConnectionPolicy, connection_log: ConnectionLog
    ) -> None:
        super().__init__()
        self._on_change, self._policy, self._log = on_change, policy, connection_log
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the peer has sent its settings. Fails with UnsentError if the connection is lost before that."""
        self.ready.add_done_callback(retrieve_error)  # if connecting was cancelled, nobody waits for it
        self.closed = asyncio.Event()
        self.opened_at_s = self._loop.time()
        """Loop time."""
        self.failed_at_s = -math.inf
        """Loop time of the last push that failed because of the connection or of the provider."""
        self.failures = 0
        """Such failures since the last push that was accepted."""
        self.heard_at_s = self.opened_at_s
        """Loop time of the last input from the peer."""
        self._used_at_s = -math.inf
        self._streams = StreamTable(self.conn, self.flush, policy.last_stream_id)
        self._keep_alive = KeepAlive(
            self._send_ping, self.abort, policy.ping_every_s, policy.ping_timeout_s, self._context
        )
        self._retired = self._suspected = False

    @property
    def usable(self) -> bool:
        """Whether it may take a request."""
        return not (self.lost or self._retired or self._suspected) and self.ready.done()

    @property
    def idle(self) -> bool:
        """Whether no request has used it for a long time."""
        return not self.load and self._loop.time() - self._used_at_s > self._policy.idle_s

    @property
    def load(self) -> int:
        """How many requests it has in hand."""
        return len(self._streams)

    @property
    def full(self) -> bool:
        """Whether another request would have to wait. Apple allows one stream before it has accepted a push."""
        return self._streams.full

    # Requests

    def request(self, header_block: bytes, body: bytes, not_after_s: Seconds = Seconds(math.inf)) -> Http2Stream:
        """Send a request as soon as the peer's limits (streams, flow control) allow. `release` it in the end.

        `header_block` is HPACK that uses no table. After the loop time `not_after_s` the request is not sent: it
        fails with DelayedError.
        """
        stream = Http2Stream(header_block, body, self._loop.create_future(), not_after_s)
        if self.lost or self._retired:
            stream.fail(UnsentError("connection is closing"))
            return stream
        self._used_at_s = self._loop.time()
        if self._used_at_s - self.heard_at_s > self._policy.quiet_s:
            self._keep_alive.ping()
        self._streams.add(stream)
        if self._streams.exhausted:
            self.retire()
        return stream

    def release(self, stream: Http2Stream) -> None:
        """Say that nobody waits for `stream` any more. A stream without an answer is given back to the peer."""
        stream.future.cancel()
        if not self.lost and self._streams.release(stream):
            self._after_stream()

    def _send_queued(self) -> None:
        self._streams.send_queued()
        if self._streams.exhausted:
            self.retire()

    def _after_stream(self) -> None:
        """Use the place of a stream that is over, or close a retired connection after its last one."""
        if self.lost:
            return
        if self._retired and not self._streams.open:
            self.close_transport()
            self._lose("closed")
        else:
            self._send_queued()

    # Its life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start HTTP/2, if it was agreed on in the TLS handshake."""
        session = transport.get_extra_info("ssl_object")
        if session is not None and session.selected_alpn_protocol() != "h2":
            self.transport = transport  # type: ignore[assignment]
            self.ready.set_exception(NotHttp2Error("HTTP/2 is not spoken"))
            return
        super().connection_made(transport)
        self._keep_alive.start()

    def suspect(self) -> None:
        """Take no more requests until the peer answers a PING."""
        self._suspected = True
        if not self.lost:
            self._keep_alive.ping()
        self._on_change(self)

    def retire(self) -> None:
        """Take no more requests, and close when those in flight are answered."""
        if self._retired or self.lost:
            return
        self._retired = True
        self._streams.fail_queued("connection is closing")
        self._on_change(self)
        self._loop.call_soon(self._after_stream)

    def abort(self, why: str) -> None:
        """Close at once. Requests in flight fail with UnknownError."""
        if not self.lost:
            self._log.aborted(why, len(self._streams.open))
            self._lose(why)
        self.abort_transport()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is closed."""
        if not self.lost:
            self._log.lost(type(exc).__name__ if exc else f"closed by {self._log.peer}")
        self._lose("connection lost")
        self.closed.set()

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        self._keep_alive.stop()
        self._streams.fail_all(why)
        if not self.ready.done():
            self.ready.set_exception(UnsentError(why))
        self._on_change(self)

    def _send_ping(self, payload: bytes) -> None:
        if self.idle:
            self.retire()
            return
        self.conn.ping(payload)
        self.flush()

    # What the peer sends

    def on_events(self, events: Sequence[Event]) -> None:
        """Handle what the peer sent."""
        self.heard_at_s = self._loop.time()
        for event in events:
            if handler := HANDLERS.get(type(event)):
                handler(self, event)

    def on_protocol_error(self, error: ProtocolError) -> None:
        """Give up a connection whose peer does not speak HTTP/2."""
        self.abort(f"protocol error: {type(error).__name__}")

    def _on_response(self, event: ResponseReceived) -> None:
        if stream := self._streams.open.get(event.stream_id or 0):
            stream.read_headers(event.headers or ())

    def _on_data(self, event: DataReceived) -> None:
        stream_id = event.stream_id or 0
        if stream := self._streams.open.get(stream_id):
            stream.read_body(event.data or b"")
        if event.flow_controlled_length:
            self.conn.acknowledge_received_data(event.flow_controlled_length, stream_id)

    def _on_end(self, event: StreamEnded) -> None:
        if stream := self._streams.end(event.stream_id or 0):
            stream.answer()
            if stream.status // 100 == 2:  # push services of browsers answer 201
                self.failures = 0
            self._after_stream()

    def _on_reset(self, event: StreamReset) -> None:
        if stream := self._streams.end_reset(event.stream_id or 0):
            unsent = event.error_code == ErrorCodes.REFUSED_STREAM or not stream.sent
            error = UnsentError if unsent else UnknownError
            stream.fail(error(f"stream reset: {_name(event.error_code)}"))
            self._after_stream()

    def _on_settings(self, event: RemoteSettingsChanged) -> None:
        self._streams.limit = min(self.conn.remote_settings.max_concurrent_streams, self._policy.max_streams)
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_queued()

    def _on_window(self, event: WindowUpdated) -> None:
        self._send_queued()

    def _on_pong(self, event: PingAckReceived) -> None:
        self._keep_alive.answered()
        if self._suspected:
            self._suspected = False
            self._on_change(self)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        reason = (event.additional_data or b"")[:200].decode("ascii", "replace")
        self._log.ends(_name(event.error_code), reason, len(self._streams.open))
        self._streams.fail_after(
            event.last_stream_id or 0, f"{self._log.peer} closed the connection before the request"
        )
        self.retire()
        self._loop.call_soon(self._after_stream)  # of a retired connection, a second GOAWAY may end the last requests


HANDLERS: dict[type[Event], Callable[[Http2Connection, Any], None]] = {
    ResponseReceived: Http2Connection._on_response,
    DataReceived: Http2Connection._on_data,
    StreamEnded: Http2Connection._on_end,
    StreamReset: Http2Connection._on_reset,
    RemoteSettingsChanged: Http2Connection._on_settings,
    WindowUpdated: Http2Connection._on_window,
    PingAckReceived: Http2Connection._on_pong,
    ConnectionTerminated: Http2Connection._on_goaway,
}


def _name(code: int | None) -> str:
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return str(code)
