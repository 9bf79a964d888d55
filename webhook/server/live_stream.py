"""One open stream: what is sent to one reader, and when."""

import random
from typing import Protocol

from bellhop.clock import Seconds
from bellhop.telemetry import metrics
from webhook.live_reader import LiveReader
from webhook.server.live_events import COMMENT, LiveEvent, reconnect_event, retry_field

BEAT_S = Seconds(15.0)
"""After this time without an event, a comment is sent: proxies close quiet connections after 30 or 60 seconds."""
RETRY_MS = (500, 3_000)
"""After how long a client opens its next stream: between these times, so that not all come back at once."""


class StreamConnection(Protocol):
    """The connection of a stream."""

    def write_part(self, part: bytes) -> None:
        """Write a part of the response. A client that reads too slowly is dropped."""

    def end_stream(self, part: bytes) -> None:
        """Write the last part, and close the connection."""


class LiveStream:
    """A stream that is open from `now_s` until `ends_at_s`, by the event loop's clock."""

    def __init__(self, reader: LiveReader, connection: StreamConnection, now_s: float, ends_at_s: float) -> None:
        self.reader, self._connection = reader, connection
        self._beat_at_s, self._ends_at_s = now_s + BEAT_S, ends_at_s
        self._waiting: list[LiveEvent] | None = []
        """What was announced since the snapshot began to be read; None once the reader has the snapshot."""
        connection.write_part(retry_field(_retry_ms()))

    @property
    def needs_snapshot(self) -> bool:
        """Whether the reader does not know what was announced before."""
        return self._waiting is not None

    def await_snapshot(self) -> None:
        """Hold announcements back from now on, until the snapshot is there."""
        self._waiting = []

    def show_snapshot(self, snapshot: LiveEvent, now_s: float) -> None:
        """Send a snapshot that was read later than `await_snapshot`, then what it does not contain."""
        waiting, self._waiting = self._waiting or [], None
        self._send(snapshot, now_s)
        for event in waiting:
            if not event.ids <= snapshot.ids:
                self._send(event, now_s)

    def show(self, event: LiveEvent, now_s: float) -> None:
        """Send an announcement, or keep it until the snapshot is there."""
        if self._waiting is None:
            self._send(event, now_s)
        else:
            self._waiting.append(event)

    def keep_time(self, now_s: float) -> bool:
        """Send a comment if nothing was sent for a while. Returns False if the stream's time is over."""
        if now_s >= self._beat_at_s:
            self._beat_at_s = now_s + BEAT_S
            self._connection.write_part(COMMENT)
        return now_s < self._ends_at_s

    def end(self, reason: str) -> None:
        """Tell the client to open another stream, and end this one."""
        self._connection.end_stream(reconnect_event(reason, _retry_ms()))

    def _send(self, event: LiveEvent, now_s: float) -> None:
        part = event.for_servers if self.reader.user_id is None else event.for_users
        if part:
            self._beat_at_s = now_s + BEAT_S
            metrics.LIVE_MESSAGES.add("server" if self.reader.user_id is None else "user")
            self._connection.write_part(part)


def _retry_ms() -> int:
    return random.randint(*RETRY_MS)  # noqa: S311 - spreads load, hides nothing
