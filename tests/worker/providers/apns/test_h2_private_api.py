"""Each private name of h2 that h2_adapter.py needs. A failure names the one that a release of h2 has moved."""

import inspect

import h2.connection
import h2.stream
import pytest
from h2.config import H2Configuration
from h2.events import ConnectionTerminated

CONNECTION = h2.connection.H2Connection(H2Configuration())
CONNECTION.initiate_connection()
STREAM = CONNECTION._begin_new_stream(1, h2.connection.AllowedStreamIDs.ODD)

NAMES = [
    (h2.connection, "AllowedStreamIDs.ODD"),
    (h2.connection, "ConnectionInputs.SEND_HEADERS"),
    (h2.connection, "_decode_headers"),
    (h2.stream, "StreamInputs.SEND_HEADERS"),
    (h2.stream, "StreamInputs.SEND_END_STREAM"),
    (h2.stream, "StreamInputs.RECV_HEADERS"),
    (h2.stream, "StreamInputs.RECV_END_STREAM"),
    (CONNECTION, "MAX_CLOSED_STREAMS"),
    (CONNECTION, "_begin_new_stream"),
    (CONNECTION, "_closed_streams"),
    (CONNECTION, "_data_to_send"),
    (CONNECTION, "_receive_frame"),
    (CONNECTION, "_receive_goaway_frame"),
    (CONNECTION, "decoder"),
    (CONNECTION, "open_outbound_streams"),
    (CONNECTION, "outbound_flow_control_window"),
    (CONNECTION, "state_machine.process_input"),
    (CONNECTION, "streams"),
    (STREAM, "closed_by"),
    (STREAM, "open"),
    (STREAM, "outbound_flow_control_window"),
    (STREAM, "state_machine.process_input"),
    (ConnectionTerminated(), "additional_data"),
    (ConnectionTerminated(), "error_code"),
    (ConnectionTerminated(), "last_stream_id"),
]
SIGNATURES = {
    "_begin_new_stream": ["stream_id", "allowed_ids"],
    "_receive_frame": ["frame"],
    "_receive_goaway_frame": ["frame"],
}


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=lambda value: value if isinstance(value, str) else "")
def test_h2_still_has(owner, name):
    for part in name.split("."):
        assert hasattr(owner, part), f"h2 has moved {name}, which worker/providers/http2/h2_adapter.py uses"
        owner = getattr(owner, part)


@pytest.mark.parametrize(("name", "parameters"), SIGNATURES.items())
def test_h2_still_takes_the_same_arguments(name, parameters):
    found = list(inspect.signature(getattr(CONNECTION, name)).parameters)
    assert found == parameters, f"h2 has changed {name}, which worker/providers/http2/h2_adapter.py uses"
