"""h2, with the habits changed that cost time or answers.

h2 keeps the state of the connection, of its streams and of their windows. Only the two frames of a request, and the one
frame that most answers are, bypass its layers of frame objects and header checks: those would add a third to the
processor time that a push takes.
"""

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection, _decode_headers
from h2.events import ConnectionTerminated, Event, ResponseReceived
from h2.stream import StreamInputs
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame

END_STREAM, END_HEADERS = 0x1, 0x4
TABLE_SIZE_ZERO = b"\x20"
"""HPACK's dynamic table size update (RFC 7541, section 6.3)."""


class Http2(H2Connection):
    """h2 for a client that trusts Apple's answers to be HTTP: checking every header costs more than reading it.

    Requests go by `send_request` only.
    """

    MAX_CLOSED_STREAMS = 2_000
    """How many ended streams it remembers, for frames that come late: four times as many as are open at once.

    h2's own 65,536 are most of what a worker's memory grows by at first.
    """

    def __init__(self) -> None:
        unchecked = H2Configuration(
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        super().__init__(unchecked)
        # Our header blocks use no table, and the first one says so. It must: a peer that allows a smaller table than
        # the default insists on being told (RFC 7541, section 4.2).
        self._before_block = TABLE_SIZE_ZERO

    def send_request(self, header_block: bytes, body: bytes) -> tuple[int, bytes]:
        """Open a stream for a request; returns its id and what is left to send of the body: nothing, or all of it.

        `header_block` is HPACK that uses no table, and fits into a frame (16 KB at least); `body` is not empty.
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

    # Takes the answers that are nothing but headers, as each 200 is; everything else is left to h2.
    def _receive_frame(self, frame: Frame) -> list[Event]:
        stream = self.streams.get(frame.stream_id)
        if stream is None or not stream.open or not isinstance(frame, HeadersFrame) or "END_STREAM" not in frame.flags:
            return super()._receive_frame(frame)
        headers = _decode_headers(self.decoder, frame.data)
        events = stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        if isinstance(events[0], ResponseReceived):
            events[0].headers = list(headers)
        return events + stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)

    # h2 takes a GOAWAY for the end, and then rejects the answers of streams that the peer still serves. RFC 9113,
    # section 6.8, lets streams up to the last stream id finish. Starting no new ones is up to Connection.
    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
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


def encode_frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame (RFC 9113, section 4.1)."""
    return ((len(payload) << 16 | kind << 8 | flags) << 32 | stream_id).to_bytes(9, "big") + payload
