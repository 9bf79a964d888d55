import json
import time
from dataclasses import replace

import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind, PushOptions


async def sent(google, fcm, push):
    answer = await fcm.send(push, 5)
    assert answer.outcome is Outcome.ACCEPTED
    [received] = google.pushes(push.device.token)
    assert answer.provider_id == received.name
    return received


async def test_a_ring_is_the_data_message_that_streams_sdk_parses(google, fcm, android, samples):
    data = json.loads((samples / "push" / "fcm_data.call.ring.json").read_text())["data"]
    received = await sent(google, fcm, android("phone", data))
    assert received.message["token"] == "phone"
    assert received.message["data"] == data
    assert received.message["android"]["priority"] == "HIGH"
    assert received.message["android"]["direct_boot_ok"] is True
    assert "notification" not in received.message


@pytest.mark.parametrize("kind", [PushKind.NOTIFICATION, PushKind.MISSED])
async def test_only_a_ring_reaches_a_phone_not_unlocked_since_start(google, fcm, android, kind):
    received = await sent(google, fcm, android("phone", kind=kind))
    assert received.message["android"]["priority"] == "HIGH"
    assert "direct_boot_ok" not in received.message["android"]


async def test_a_message_has_the_priority_and_label_that_are_asked_for(google, fcm, android):
    push = replace(android("phone", kind=PushKind.NOTIFICATION), options=PushOptions(urgent=False, analytics_label="n"))
    received = await sent(google, fcm, push)
    assert received.message["android"]["priority"] == "NORMAL"
    assert received.message["fcm_options"] == {"analytics_label": "n"}


async def test_an_iphones_message_has_a_part_for_apple(google, fcm, android):
    aps = {"alert": {"title": "T", "body": "B"}, "sound": "default"}
    push = replace(android("phone", kind=PushKind.MISSED), aps=aps, collapse_id="missed:default:1")
    received = await sent(google, fcm, push)
    assert received.message["apns"] == {
        "headers": {
            "apns-priority": "10",
            "apns-expiration": str(push.deadline // 1_000_000),
            "apns-collapse-id": "missed:default:1",
        },
        "payload": {"aps": aps},
    }
    assert "apns" not in (await sent(google, fcm, android("pixel"))).message


async def test_google_is_told_to_drop_the_push_when_the_ring_ends(google, fcm, android):
    received = await sent(google, fcm, android("phone", left_s=20))
    ttl_s = int(received.message["android"]["ttl"].removesuffix("s"))
    assert 10 <= ttl_s <= 20
    assert received.received_at + ttl_s <= time.time() + 20


async def test_the_shortest_life_is_a_second(google, fcm, android):
    received = await sent(google, fcm, android("phone", left_s=0.3))
    assert received.message["android"]["ttl"] == "1s"


async def test_text_of_any_language_arrives_unchanged(google, fcm, android):
    data = {"created_by_display_name": 'Zoë "Ζωή" 👩‍👩‍👧 \x00\u2028</script>', "ключ": ""}
    received = await sent(google, fcm, android("phone", data))
    assert received.message["data"] == data


async def test_the_limit_counts_the_bytes_of_keys_and_values(google, fcm, android):
    await sent(google, fcm, android("full", {"clé": "é" * 2046}))
    answer = await fcm.send(android("over", {"clé": "é" * 2046 + "x"}), 5)
    assert answer.outcome is Outcome.TOO_LARGE
    assert google.requests["over"] == 0


@pytest.mark.parametrize("data", [{"video": True}, {"members": ["ann"]}, {1: "one"}, {"name": "\ud800"}, {}])
async def test_what_google_would_refuse_is_not_sent(google, fcm, android, data):
    push = android("phone", data)
    answer = await fcm.send(push, 5)
    assert answer.outcome is Outcome.BAD_REQUEST
    assert google.requests["phone"] == 0


async def test_a_token_can_be_checked_without_a_push(google, fcm):
    answer = await fcm.validate("phone")
    assert answer.outcome is Outcome.ACCEPTED
    assert google.requests["phone"] == 1
    assert google.received == []
