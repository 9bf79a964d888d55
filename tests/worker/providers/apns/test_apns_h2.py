"""What we changed about h2, next to h2 as it comes."""

from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from worker.providers.http2.h2_adapter import Http2, encode_frame
from worker.providers.http2.header_fields import encode_field

REQUEST = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"apple"), (b":path", b"/3/device/a1")]
BLOCK = b"".join(encode_field(name.decode(), value.decode()) for name, value in REQUEST)
BODY = b'{"aps":{}}'
OK = [(":status", "200"), ("apns-id", "0f0e0d0c-0b0a-4908-8706-050403020100")]
GONE = [(":status", "410"), ("content-length", "25")]
REASON = b'{"reason":"Unregistered"}'


def connect(client: H2Connection, window: int = 65_535) -> H2Connection:
    """A server that has shaken hands with `client`, and gives each stream `window` bytes."""
    server = H2Connection(H2Configuration(client_side=False))
    server.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
    server.local_settings.acknowledge()
    server.initiate_connection()
    client.initiate_connection()
    for _ in range(2):
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
    return server


def ok(server: H2Connection) -> None:
    server.send_headers(1, OK, end_stream=True)


def gone(server: H2Connection) -> None:
    server.send_headers(1, GONE)
    server.send_data(1, REASON, end_stream=True)


def hints_first(server: H2Connection) -> None:
    server.send_headers(1, [(":status", "103")])
    ok(server)


def with_trailers(server: H2Connection) -> None:
    server.send_headers(1, GONE)
    server.send_data(1, REASON)
    server.send_headers(1, [("checksum", "none")], end_stream=True)


def in_many_frames(server: H2Connection) -> None:
    server.streams[1].max_outbound_frame_size = 20
    server.send_headers(1, [*OK, ("apns-unique-id", "u" * 100)], end_stream=True)


def reset(server: H2Connection) -> None:
    server.reset_stream(1, ErrorCodes.REFUSED_STREAM)


def reset_after_headers(server: H2Connection) -> None:
    server.send_headers(1, GONE)
    reset(server)


def events_of(client: H2Connection, server: H2Connection, answer: Callable[[H2Connection], None]) -> list[object]:
    answer(server)
    seen: list[object] = []
    for event in client.receive_data(server.data_to_send()):
        headers = event.headers if isinstance(event, ResponseReceived) else None
        data = event.data if isinstance(event, DataReceived) else None
        code = event.error_code if isinstance(event, StreamReset) else None
        seen.append((type(event), headers, data, code))
    return seen


@pytest.mark.parametrize(
    "answer",
    [ok, gone, hints_first, with_trailers, in_many_frames, reset, reset_after_headers],
    ids=lambda a: a.__name__,
)
@pytest.mark.parametrize("whole", [True, False], ids=["after the request", "amid the request"])
def test_every_shape_of_answer_is_read_as_h2_reads_it(answer: Callable[[H2Connection], None], whole: bool) -> None:
    window = 65_535 if whole else 1
    plain, ours = H2Connection(), Http2()
    plain_server, our_server = connect(plain, window), connect(ours, window)
    plain.send_headers(1, REQUEST)
    if whole:
        plain.send_data(1, BODY, end_stream=True)
    assert ours.send_request(BLOCK, BODY) == (1, b"" if whole else BODY)
    plain_server.receive_data(plain.data_to_send())
    our_server.receive_data(ours.data_to_send())
    assert events_of(ours, our_server, answer) == events_of(plain, plain_server, answer)
    assert ours.streams[1].closed == plain.streams[1].closed
    assert ours.streams[1].closed_by == plain.streams[1].closed_by


def test_a_request_arrives_whole_and_uses_part_of_the_windows() -> None:
    client = Http2()
    server = connect(client)
    for stream_id in (1, 3, 5):
        assert client.send_request(BLOCK, BODY) == (stream_id, b"")
        headers, data, end = server.receive_data(client.data_to_send())
        assert isinstance(headers, RequestReceived)
        assert dict(headers.headers) == dict(REQUEST)
        assert isinstance(data, DataReceived)
        assert data.data == BODY
        assert isinstance(end, StreamEnded)
        assert client.local_flow_control_window(stream_id) == server.remote_flow_control_window(stream_id)
    assert client.outbound_flow_control_window == server.inbound_flow_control_window == 65_535 - 3 * len(BODY)


def test_a_body_that_does_not_fit_its_window_is_left_to_send() -> None:
    client = Http2()
    server = connect(client, len(BODY) - 1)
    stream_id, rest = client.send_request(BLOCK, BODY)
    assert rest == BODY
    client.send_data(stream_id, rest[:-1])
    server.receive_data(client.data_to_send())
    server.increment_flow_control_window(1, stream_id)
    client.receive_data(server.data_to_send())
    client.send_data(stream_id, rest[-1:], end_stream=True)
    *_, end = server.receive_data(client.data_to_send())
    assert isinstance(end, StreamEnded)


def test_a_second_answer_on_a_stream_is_a_protocol_error() -> None:
    client = Http2()
    server = connect(client)
    client.send_request(BLOCK, BODY)
    server.receive_data(client.data_to_send())
    ok(server)
    answer = server.data_to_send()
    client.receive_data(answer)
    with pytest.raises(ProtocolError):
        client.receive_data(answer)


def test_headers_that_cannot_be_decoded_are_a_protocol_error() -> None:
    client = Http2()
    connect(client)
    stream_id, _ = client.send_request(BLOCK, BODY)
    with pytest.raises(ProtocolError):
        client.receive_data(encode_frame(1, 0x5, stream_id, b"\xff\xff\xff\xff\x0f"))


def test_few_ended_streams_are_kept_and_late_frames_are_ignored() -> None:
    class Http2WithThree(Http2):
        MAX_CLOSED_STREAMS = 3

    client = Http2WithThree()
    server = connect(client)
    for _ in range(10):
        stream_id, _ = client.send_request(BLOCK, BODY)
        server.receive_data(client.data_to_send())
        server.send_headers(stream_id, OK, end_stream=True)
        client.receive_data(server.data_to_send())
        client.forget(stream_id)
    assert len(client._closed_streams) <= 3
    for late in (1, stream_id):
        assert client.receive_data(encode_frame(3, 0, late, b"\0\0\0\x08")) == []
