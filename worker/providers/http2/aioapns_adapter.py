"""All that Bellhop uses of aioapns. No other module imports aioapns.

Used:

- `NotificationRequest` and `PushType` describe one push (apns_request.py).
- `JWTAuthorizationHeaderProvider` signs Apple's provider token (provider_token.py).
- `H2Protocol` is the asyncio protocol of one connection. It keeps the transport, and starts HTTP/2 on it.

Replaced, because a ring must get exactly one answer, and in time:

- `APNs` and its connection pools. They repeat a push up to five times, with pauses of a second, although Apple may
  have accepted it the first time. `Http2Pool` makes one attempt, and the caller decides what follows.
- The matching of answers to requests. aioapns does it by apns-id. If that header is missing, or the same push is in
  flight twice, its caller waits for ever. `Http2Connection` does it by HTTP/2 stream.
- The handling of RST_STREAM, GOAWAY, flow control and PING. aioapns ignores RST_STREAM and never sends a PING. At
  GOAWAY it drops the requests that Apple still answers. It closes a connection after ten quiet seconds, although Apple
  wants connections kept open.
- `H2Connection`, by `Http2` (h2_adapter.py), which costs less processor time.
- `flush`, which writes after each request. Here it writes once per turn of the event loop.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context

from aioapns import NotificationRequest, PushType
from aioapns.connection import H2Protocol, JWTAuthorizationHeaderProvider
from h2.events import Event
from h2.exceptions import ProtocolError

from worker.providers.http2.h2_adapter import Http2

__all__ = ["AioapnsProtocol", "NotificationRequest", "PushType", "authorization_header"]


def authorization_header(key: str, key_id: str, team_id: str) -> str:
    """Sign a new provider token, and return it as the `authorization` header carries it."""
    provider = JWTAuthorizationHeaderProvider(key, key_id, team_id)
    return str(provider.get_header())  # type: ignore[no-untyped-call]


class AioapnsProtocol(H2Protocol):
    """Reads and writes the bytes of one connection. A subclass handles the events of h2."""

    conn: Http2

    def __init__(self) -> None:
        super().__init__()
        self.conn = Http2()
        self.lost = False
        """Set at the end of the connection. Nothing is written after that."""
        self._loop = asyncio.get_running_loop()
        # A write or a timer that a push started can end the connection. The log line about that end must not carry the
        # webhook id of that push, so both run in an empty context.
        self._context = Context()
        self._write_scheduled = False

    def flush(self) -> None:
        """Write what h2 has to send at the end of this turn of the loop: one TLS record for many requests."""
        if not self._write_scheduled:
            self._write_scheduled = True
            self._loop.call_soon(self._write, context=self._context)

    def _write(self) -> None:
        self._write_scheduled = False
        if not self.lost and self.transport is not None and (data := self.conn.data_to_send()):
            self.transport.write(data)

    def close_transport(self) -> None:
        """Send GOAWAY, and close after everything is written."""
        self.conn.close_connection()
        self._write()
        if self.transport is not None:
            self.transport.close()

    def abort_transport(self) -> None:
        """Close at once, without writing anything."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        try:
            events = self.conn.receive_data(data)
        except ProtocolError as error:
            self.on_protocol_error(error)
            return
        self.on_events(events)
        self.flush()

    def on_events(self, events: Sequence[Event]) -> None:
        """Handle what the peer sent."""
        raise NotImplementedError

    def on_protocol_error(self, error: ProtocolError) -> None:
        """Handle bytes that are not HTTP/2."""
        raise NotImplementedError
