"""What the registry says today about users who had no device when their call rang."""

import pytest
from redis import Redis

from bellhop.domain.device import Kind, Provider
from bellhop.domain.outcomes import MEANING, Outcome
from bellhop.domain.phone import PhoneHealth
from bellhop.explain.explanation import explain
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import calls_of_user_key, trail_key
from bellhop.store.phones import note_health
from bellhop.store.registry import register
from bellhop.store.steps import run_blocking
from bellhop.store.stored_trail import read_stored_trail
from bellhop.trail import (
    PhoneRang,
    PhoneReported,
    PushAttempted,
    PushSkipped,
    TokenChecked,
    UserSettled,
    WebhookReceived,
    read_trail,
)
from tests.factories import a_device
from tests.trails import START, line

CID = "default:1"


@pytest.fixture
def client(redis_url):
    with Redis.from_url(redis_url) as client:
        yield client


def ring(client, user, facts="0 devices"):
    skip = {"round": START, "kind": "ring", "user": user, "outcome": "no_devices", "reason": facts}
    opening = {"type": "call.ring", "stamp": START, "users": [user], "round": START, "callers": ["sara"]}
    client.rpush(trail_key("default", CID), line(WebhookReceived, START, **opening), line(PushSkipped, START, **skip))


def advice(client, user):
    lines, now, told, today = read_stored_trail(client, "default", CID)
    return explain(CID, read_trail(lines), user, now, told, today).rounds[0].people[0].next


def have(client, user, *tokens):
    for token in tokens:
        device = a_device(user, provider=Provider.APNS, kind=Kind.VOIP, token=token * 32)
        run_blocking(register("default", device), client)


@pytest.mark.parametrize("facts", ["0 devices", ""])
def test_an_id_that_differs_in_capitals_only_is_named(client, facts):
    ring(client, "Ann", facts)
    have(client, "ann", "ab", "cd")
    assert advice(client, "Ann") == (
        "Today, Ann has no devices, but ann has 2 devices: the ids differ in capitals only. Register devices under the "
        "id that Stream uses.",
    )


def test_a_device_that_was_registered_since_is_told_as_todays(client):
    ring(client, "ann")
    have(client, "ann", "ab")
    assert advice(client, "ann") == ("Today, ann has 1 device: see `bellhop devices list ann`.",)


def test_a_token_that_an_earlier_call_removed_is_told(client):
    ring(client, "ann")
    gone = {"round": START, "user": "ann", "device": "ab" * 10, "label": "Ann's iPhone", "provider": "apns"}
    for number, detail in ((7, "removed"), (8, "newer")):
        client.zadd(calls_of_user_key("default", "ann"), {f"default:{number}": number})
        client.rpush(trail_key("default", f"default:{number}"), line(TokenChecked, START, **gone, detail=detail))
    [told] = advice(client, "ann")
    assert told.startswith(
        "Bellhop removed the push token of Ann's iPhone at 2026-07-24 10:00 UTC, since its provider said"
    )


def test_nothing_is_told_where_the_trail_says_all(client):
    ring(client, "Ann", "1 device")
    have(client, "ann", "ab")
    assert "with kind voip" in advice(client, "Ann")[0]


def test_an_unknown_user_gets_the_usual_advice(client):
    ring(client, "ann")
    assert advice(client, "ann") == (MEANING[Outcome.NO_DEVICES].advice.format(user="ann"),)


def ring_in_vain(client, device, *more):
    opening = {"type": "call.ring", "stamp": START, "users": ["ann"], "round": START, "callers": ["sara"]}
    push = {"round": START, "kind": "ring", "user": "ann", "device": device.key, "provider": "fcm"}
    attempt = line(PushAttempted, START, **push | {"outcome": "accepted", "label": "Ann's Pixel"})
    settled = line(UserSettled, START, round=START, user="ann", outcome="no_answer")
    client.rpush(trail_key("default", CID), line(WebhookReceived, START, **opening), attempt, *more, settled)


def test_the_settings_of_a_silent_phone_are_the_advice(client):
    phone = a_device("ann")
    run_blocking(register("default", phone), client)
    ring_in_vain(client, phone)
    (general,) = advice(client, "ann")
    assert "check the phone" in general
    health = PhoneHealth(full_screen_intent=False, battery_optimised=True)
    run_script(client, note_health("default", "ann", phone.key, START, health))
    (found,) = advice(client, "ann")
    assert found.startswith("Ann's Pixel: Full-screen notifications are off for the app since ")
    assert "Special app access" in found and "Battery optimisation" not in found
    run_script(client, note_health("default", "ann", phone.key, START, PhoneHealth(full_screen_intent=True)))
    assert advice(client, "ann") == (general,)


def test_a_phone_that_rang_needs_no_advice(client):
    phone = a_device("ann")
    run_blocking(register("default", phone), client)
    run_script(client, note_health("default", "ann", phone.key, START, PhoneHealth(full_screen_intent=False)))
    ring_in_vain(client, phone, line(PhoneRang, START, round=START, device=phone.key))
    assert advice(client, "ann") == ()


@pytest.mark.parametrize(("event", "silent"), [("dismissed", False), ("not_shown", True)])
def test_a_phone_that_could_not_show_the_call_is_silent(client, event, silent):
    phone = a_device("ann")
    run_blocking(register("default", phone), client)
    run_script(client, note_health("default", "ann", phone.key, START, PhoneHealth(full_screen_intent=False)))
    report = line(PhoneReported, START, round=START, device=phone.key, user="ann", outcome=event)
    ring_in_vain(client, phone, report)
    assert ["Full-screen" in sentence for sentence in advice(client, "ann")] == ([True] if silent else [])
