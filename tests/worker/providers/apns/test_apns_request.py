import time

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from bellhop.clock import micros, seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.payloads import most_bytes
from bellhop.domain.push import Push, PushKind, PushOptions
from bellhop.sandbox.apple_server import AppleStandIn
from tests.worker.providers.apns.apns_pushes import TOKEN, push, ring
from worker.providers.apns.apns_request import body_of, header_block_of, request_for
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.http2.header_fields import encode_field


def headers_of(push: Push, authorization: str = "bearer abc") -> dict[str, str]:
    block = header_block_of(
        request_for(push, "com.example.app"), "api.push.apple.com", authorization, int(seconds(push.deadline))
    )
    return dict(Decoder().decode(block))


def test_a_ring_is_a_voip_push_that_apple_drops_at_its_deadline() -> None:
    assert headers_of(ring(id="0f8fad5b-d9cb-469f-a165-70867728950e", deadline=1_795_000_030_900_000)) == {
        ":method": "POST",
        ":scheme": "https",
        ":authority": "api.push.apple.com",
        ":path": f"/3/device/{TOKEN}",
        "authorization": "bearer abc",
        "apns-id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "apns-topic": "com.example.app.voip",
        "apns-push-type": "voip",
        "apns-priority": "10",
        "apns-expiration": "1795000030",
    }


@pytest.mark.parametrize("kind", [PushKind.NOTIFICATION, PushKind.MISSED])
def test_anything_but_a_ring_is_an_alert_for_the_bare_topic(kind: PushKind) -> None:
    headers = headers_of(push(kind, collapse_id="default:call"))
    assert headers["apns-topic"] == "com.example.app"
    assert headers["apns-push-type"] == "alert"
    assert headers["apns-collapse-id"] == "default:call"
    assert headers["apns-priority"] == "10"
    quiet = push(kind, options=PushOptions(urgent=False))
    assert headers_of(quiet)["apns-priority"] == "5"


def test_with_a_certificate_there_is_no_authorization() -> None:
    assert "authorization" not in headers_of(ring(), authorization="")


def test_pseudo_headers_come_first() -> None:
    names = list(headers_of(ring()))
    assert [name.startswith(":") for name in names] == sorted((name.startswith(":") for name in names), reverse=True)


@given(st.lists(st.tuples(st.text("abc-", min_size=1), st.text(max_size=400)), min_size=1))
def test_encoded_fields_are_hpack(fields: list[tuple[str, str]]) -> None:
    assert list(Decoder().decode(b"".join(encode_field(name, value) for name, value in fields))) == fields


@pytest.mark.parametrize("length", [0, 126, 127, 128, 254, 255, 16_510, 16_511])
def test_lengths_around_the_steps_of_hpacks_integers(length: int) -> None:
    assert list(Decoder(max_header_list_size=20_000).decode(encode_field("a", "b" * length))) == [("a", "b" * length)]


def test_no_field_enters_a_table() -> None:
    decoder = Decoder()
    decoder.decode(encode_field("authorization", "bearer secret"))
    assert len(decoder.header_table.dynamic_entries) == 0


def test_the_body_is_compact_utf_8() -> None:
    assert body_of(request_for(ring(payload={"a": ["é", 1]}), "t")) == '{"a":["é",1]}'.encode()


@pytest.mark.parametrize("kind", list(PushKind))
async def test_a_body_goes_up_to_apples_limit_and_stays_here_beyond_it(
    apple: AppleStandIn, sender: ApnsSender, kind: PushKind
) -> None:
    room = most_bytes(Provider.APNS, kind) - len('{"a":""}')
    assert (await sender.send(push(kind, payload={"a": "x" * room}), 5)).outcome is Outcome.ACCEPTED
    too_large = await sender.send(push(kind, payload={"a": "x" * (room + 1)}), 5)
    assert (too_large.outcome, too_large.reason) == (Outcome.TOO_LARGE, f"{most_bytes(Provider.APNS, kind) + 1} bytes")
    assert len(apple.requests) == 1


async def test_apple_receives_what_was_meant(apple: AppleStandIn, sender: ApnsSender) -> None:
    sent = ring(payload={"aps": {}, "name": "Zoë 📞"}, deadline=micros(time.time() + 12))
    answer = await sender.send(sent, 5)
    received = apple.received[0]
    assert (received.token, received.payload) == (TOKEN, sent.payload)
    assert received.headers["apns-expiration"] == str(int(seconds(sent.deadline)))
    assert answer.provider_id == received.headers["apns-id"] == sent.id
