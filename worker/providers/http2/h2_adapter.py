"""All that Bellhop uses of h2's private API. h2 keeps the state of the connection, of its streams and their windows.

`Http2` changes four habits of h2:

- The two frames of a request, and the single frame of most answers, do not pass through h2's frame objects and header
  checks. Those would add a third to the processor time of a push. Everything else is left to h2.
- After a GOAWAY, h2 rejects the answers of streams that the peer still serves. Here they are read.
- h2 walks through all streams at every request, to count the open ones. Here ended streams are removed (`forget`), so
  that their number is known.
- h2 remembers 65,536 ended streams. Here it remembers 2,000.

The private names that this needs are listed in tests/worker/providers/apns/test_h2_private_api.py. If a new release of
h2 moves a name, this test says which.
"""

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection, _decode_headers
from h2.events import ConnectionTerminated, Event, ResponseReceived
from h2.settings import SettingCodes, Settings
from h2.stream import StreamInputs
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame

END_STREAM, END_HEADERS = 0x1, 0x4
OUR_SETTINGS: dict[SettingCodes, int] = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: 65_536}
"""The peer may open no streams, and its answers have small headers."""
TABLE_SIZE_ZERO = b"\x20"
"""HPACK's dynamic table size update (RFC 7541, section 6.3)."""


class Http2(H2Connection):
    """The state of one connection. Requests are sent by `send_request` only.

    Headers are not checked: to check one costs more than to read it, and little is read of an answer.
    """

    MAX_CLOSED_STREAMS = 2_000
    """How many ended streams it remembers, for frames that come late: four times as many as are open at once.

    With h2's own 65,536, they are most of the memory that a new worker grows by.
    """

    def __init__(self) -> None:
        unchecked = H2Configuration(
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        super().__init__(unchecked)
        self.local_settings = Settings(client=True, initial_values=OUR_SETTINGS)
        # Our header blocks use no table. The first one must say so: a peer that allows a smaller table than the default
        # requires it (RFC 7541, section 4.2).
        self._before_block = TABLE_SIZE_ZERO

    def send_request(self, header_block: bytes, body: bytes) -> tuple[int, bytes]:
        """Open a stream for a request. Returns its id, and the rest of the body to send: nothing, or all of it.

        `header_block` is HPACK that uses no table, and fits into a frame (at least 16 KB). `body` is not empty.
        """
        stream_id = self.get_next_available_stream_id()
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        stream = self._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
        stream.state_machine.process_input(StreamInputs.SEND_HEADERS)
        block, self._before_block = self._before_block + header_block, b""
        self._data_to_send += encode_frame(HeadersFrame.type, END_HEADERS, stream_id, block)
        if len(body) > min(self.local_flow_control_window(stream_id), self.max_outbound_frame_size):
            return stream_id, body
        stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        stream.outbound_flow_control_window -= len(body)
        self.outbound_flow_control_window -= len(body)
        self._data_to_send += encode_frame(DataFrame.type, END_STREAM, stream_id, body)
        return stream_id, b""

    # Reads the answers that consist of headers only, as each 200 does. Everything else is left to h2.
    def _receive_frame(self, frame: Frame) -> list[Event]:
        stream = self.streams.get(frame.stream_id)
        if stream is None or not stream.open or not isinstance(frame, HeadersFrame) or "END_STREAM" not in frame.flags:
            return super()._receive_frame(frame)
        headers = _decode_headers(self.decoder, frame.data)
        events = stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        if isinstance(events[0], ResponseReceived):
            events[0].headers = list(headers)
        return events + stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)

    # RFC 9113, section 6.8, lets streams up to the last stream id finish. Http2Connection starts no new ones.
    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]

    # `forget` removes ended streams, so that all others are open.
    @property
    def open_outbound_streams(self) -> int:
        """How many streams are open."""
        return len(self.streams)

    def forget(self, stream_id: int) -> None:
        """Move an ended stream to the closed ones."""
        if stream := self.streams.pop(stream_id, None):
            self._closed_streams[stream_id] = stream.closed_by


def encode_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Encode a frame (RFC 9113, section 4.1)."""
    return ((len(payload) << 16 | kind << 8 | flags) << 32 | stream_id).to_bytes(9, "big") + payload
