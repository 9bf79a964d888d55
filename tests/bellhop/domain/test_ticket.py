"""Tickets of rings: only what Bellhop signed can be read, with any call id."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.device import Kind, Provider
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.domain.ticket import Ticket, read_ticket, sign_ticket
from tests.factories import a_browser, a_device, a_round, an_iphone

SECRET = b"signs receipts"
LONG = Ticket("t" * 64, "\U0001f4de" * 255, 2**53, "apns", "f" * 20)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)


@given(texts, texts, st.integers(0, 2**53))
def test_a_receipt_reads_as_what_was_signed(tenant, cid, started_at):
    receipt = Ticket(tenant[:64], cid, started_at, "fcm", "ab" * 10)
    assert read_ticket(SECRET, sign_ticket(SECRET, receipt)) == receipt


def test_a_receipt_signed_by_an_earlier_version_is_read():
    text = (
        "WyJkZWZhdWx0IiwiZGVmYXVsdDoxIiwxNzY3MjI1NjAwMDAwMDAwLCJhcG5zIiwiYWJhYmFiYWJhYmFiYWJhYmFiYWIiXQ"
        ".XJo6-8WuwMdkKOEoI8DsPg"
    )
    receipt = Ticket("default", "default:1", 1_767_225_600_000_000, "apns", "ab" * 10)
    assert read_ticket(SECRET, text) == receipt
    assert sign_ticket(SECRET, receipt) == text


def test_the_longest_receipt_is_not_too_long_to_read():
    assert read_ticket(SECRET, sign_ticket(SECRET, LONG)) == LONG


@given(st.text(max_size=60) | st.text("ABab01_-.", max_size=60))
def test_no_other_text_is_a_receipt(text):
    assert read_ticket(SECRET, text) is None


@given(st.data())
def test_a_receipt_with_one_character_changed_is_invalid(data):
    signed = sign_ticket(SECRET, Ticket("default", "default:1", 1, "apns", "ab" * 10))
    place = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.characters().filter(lambda c: c != signed[place]))
    assert read_ticket(SECRET, signed[:place] + other + signed[place + 1 :]) is None


def test_another_secret_signs_another_receipt():
    assert read_ticket(b"another secret", sign_ticket(SECRET, LONG)) is None


def ring(secret, kind=PushKind.RING, provider=Provider.APNS, cid="default:1"):
    makes = {Provider.APNS: an_iphone, Provider.FCM: a_device, Provider.WEB_PUSH: a_browser}[provider]
    device = makes("u" * 255, kind=Kind.VOIP if kind is PushKind.RING else Kind.ALERT)
    names = {"caller_id": "c" * 64, "caller_name": "\U0001f4de" * 255, "call_name": '"' * 255}
    round_ = a_round("u" * 255, tenant="t" * 64, cid=cid, started_at=7, deadline=10**16, **names)
    [push] = plan(kind, round_, {"u" * 255: [device]}, 1_000_000, ticket_secret=secret).pushes
    return push, device


@pytest.mark.parametrize("provider", Provider)
def test_a_ring_names_its_own_round_and_device(provider):
    push, device = ring(SECRET, provider=provider)
    part = push.payload["bellhop"] if provider is Provider.APNS else push.payload
    assert read_ticket(SECRET, part["receipt"]) == Ticket("t" * 64, "default:1", 7, provider, device.key)


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize(("kind", "secret"), [(PushKind.RING, b""), (PushKind.MISSED, SECRET)])
def test_only_a_ring_with_a_secret_has_a_receipt(provider, kind, secret):
    assert "receipt" not in json.dumps(dict(ring(secret, kind, provider)[0].payload))


@pytest.mark.parametrize("cid", ["default:" + "x" * 247, "\U0001f4de" * 255])
@pytest.mark.parametrize(("provider", "limit"), [("apns", 5_120), ("fcm", 4_096), ("webpush", 3_993)])
def test_a_ring_with_a_receipt_keeps_inside_the_providers_limit(cid, provider, limit):
    payload = ring(SECRET, provider=Provider(provider), cid=cid)[0].payload
    if provider == Provider.FCM:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in payload.items())
    else:
        size = len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode())
    assert size <= limit
