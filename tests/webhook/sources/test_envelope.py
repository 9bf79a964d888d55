"""Stream's event inside a message of SQS, however it was wrapped."""

import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.sources.amazon.envelope import UnreadableMessage, unwrap

EVENT = b'{"type": "call.ring", "call_cid": "default:1"}'
PLAIN = EVENT.decode()
ENCODED = base64.b64encode(EVENT).decode()
PACKED = base64.b64encode(gzip.compress(EVENT, mtime=0)).decode()


def published(message, **more):
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:calls", "Message": message, **more})


@pytest.mark.parametrize("message", [PLAIN, ENCODED, PACKED])
def test_an_event_is_found_raw_encoded_and_in_an_sns_envelope(message):
    assert unwrap(message) == EVENT
    assert unwrap(published(message)) == EVENT


@pytest.mark.parametrize(
    "message",
    [
        "no base64!",
        PACKED[:-8],
        base64.b64encode(b"\x1f\x8b" + b"rubbish").decode(),
        base64.b64encode(gzip.compress(bytes(5 << 20))).decode(),
        published("no base64!"),
    ],
)
def test_an_envelope_without_an_event_is_refused(message):
    with pytest.raises(UnreadableMessage):
        unwrap(message)


def test_custom_data_does_not_make_an_event_an_envelope():
    event = json.dumps({"type": "call.ring", "Type": "Notification", "Message": PACKED})
    assert unwrap(event) == event.encode()


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_any_message_gives_bytes_or_is_unreadable(message):
    try:
        assert isinstance(unwrap(message), bytes)
    except UnreadableMessage as error:
        assert str(error)
