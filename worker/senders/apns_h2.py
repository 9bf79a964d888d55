"""h2, with the habits changed that cost time or answers."""

from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from hyperframe.frame import GoAwayFrame

TABLE_SIZE_ZERO = b"\x20"
"""HPACK's dynamic table size update (RFC 7541, section 6.3)."""


class EncodedAlready:
    """Stands in for hpack's encoder: the header block comes encoded, as the value of the only field.

    Our blocks use no table, and the first one tells the peer so. It must: a peer that allows a smaller table than the
    default insists on being told (RFC 7541, section 4.2).
    """

    def __init__(self) -> None:
        self.header_table_size = 0
        self._first = TABLE_SIZE_ZERO

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the block."""
        first, self._first = self._first, b""
        return first + b"".join(block for _, block in headers)


class Http2(H2Connection):
    """h2 for a client that trusts Apple's answers to be HTTP: checking every header costs more than reading it."""

    def __init__(self) -> None:
        unchecked = H2Configuration(
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        super().__init__(unchecked)
        self.encoder = EncodedAlready()  # type: ignore[assignment]

    # h2 takes a GOAWAY for the end, and then rejects the answers of streams that the peer still serves. RFC 9113,
    # section 6.8, lets streams up to the last stream id finish. Starting no new ones is up to Connection.
    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Any], list[Event]]:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]

    # h2 walks through all streams to count the open ones, at every request. Here it has only those.
    @property
    def open_outbound_streams(self) -> int:
        """How many streams are open."""
        return len(self.streams)

    def forget(self, stream_id: int) -> None:
        """Put a stream that is over among the closed ones."""
        if stream := self.streams.pop(stream_id, None):
            self._closed_streams[stream_id] = stream.closed_by
