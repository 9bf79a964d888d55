"""What a phone reports is kept for it, in a bounded form, and leaves with its device."""

import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bellhop.clock import Micros
from bellhop.domain.device import MAX_DEVICES_PER_USER
from bellhop.domain.phone import MAX_HEALTH_BYTES, PhoneHealth, PhoneRecord, health_json, read_record
from bellhop.store import phones, registry
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import devices_key, phones_key
from bellhop.store.steps import run_blocking, run_steps
from tests.factories import a_device

NOW = Micros(1_800_000_000_123_456)
MINUTE = 60_000_000
PHONE = a_device()
KEY = phones_key("default", "ben")


@pytest.fixture
def note(store):
    async def note(make, *args, device=PHONE, user="ben", **extra):
        return phones.read_noted(await store.script(*make("default", user, device.key, *args, **extra)))

    return note


@pytest.fixture
def record(store):
    async def record(device=PHONE, user="ben"):
        keys = [device.key]
        return phones.records_of(keys, await store.call(*phones.read_some("default", user, keys)))[device.key]

    return record


@pytest.fixture
async def registered(store):
    await run_steps(registry.register("default", PHONE), store)


def receipts(note, *priorities, first_round=1):
    """Receipts of as many rounds, each with the priority that its push came with."""

    async def all_of_them():
        return [
            (
                await note(
                    phones.note_receipt,
                    NOW,
                    round_started_at=number,
                    event="rang",
                    health=PhoneHealth(fcm_priority=priority),
                )
            ).demoted
            for number, priority in enumerate(priorities, first_round)
        ]

    return all_of_them()


@pytest.mark.usefixtures("registered")
async def test_reports_add_up_and_say_since_when(note, record):
    await note(phones.note_health, NOW, PhoneHealth(os="android", full_screen_intent=True))
    await note(phones.note_health, NOW + MINUTE, PhoneHealth(full_screen_intent=False))
    later = await note(phones.note_health, NOW + 2 * MINUTE, PhoneHealth(full_screen_intent=False, power_save=True))
    assert later == (True, 0)
    at = NOW // 1000
    assert await record() == PhoneRecord(
        PhoneHealth(os="android", full_screen_intent=False, power_save=True),
        at + 120_000,
        {"os": at, "full_screen_intent": at + 60_000, "power_save": at + 120_000},
    )


@pytest.mark.usefixtures("registered")
async def test_the_first_and_the_last_receipt_are_kept(note, record):
    assert (await record()).first_receipt_ms == 0
    await note(phones.note_receipt, NOW, round_started_at=1, event="not_shown", reason="no permission")
    await note(phones.note_receipt, NOW + MINUTE, round_started_at=2, event="declined")
    kept = await record()
    assert (kept.first_receipt_ms, kept.last_receipt_ms) == (NOW // 1000, (NOW + MINUTE) // 1000)
    assert (kept.event, kept.reason) == ("not_shown", "no permission")
    await note(phones.note_receipt, NOW + MINUTE, round_started_at=3, event="rang")
    assert (await record())[-3:-1] == ("rang", "")


@pytest.mark.usefixtures("registered")
async def test_a_phone_that_rang_has_no_callkit_error_any_more(note, record):
    refused, known = PhoneHealth(os="ios", callkit_error=1), PhoneHealth(os="ios")
    for number, (event, health) in enumerate([("not_shown", refused), ("declined", None), ("rang", known)]):
        assert (await record()).health.callkit_error == (None if number == 0 else 1)
        await note(phones.note_receipt, NOW + number * MINUTE, round_started_at=number, event=event, health=health)
    assert (await record()).health == known
    await note(phones.note_receipt, NOW + 5 * MINUTE, round_started_at=5, event="not_shown", health=refused)
    assert (await record()).since_ms == {"os": NOW // 1000, "callkit_error": (NOW + 5 * MINUTE) // 1000}


async def test_nothing_is_kept_for_a_device_of_somebody_else(note, store):
    assert (await note(phones.note_health, NOW, PhoneHealth(os="ios"))).known is False
    await run_steps(registry.register("default", PHONE), store)
    assert (await note(phones.note_health, NOW, PhoneHealth(os="ios"), user="sara")).known is False
    assert await store.call("KEYS", "bellhop:phones:*") == []


@pytest.mark.usefixtures("registered")
async def test_demoted_pushes_in_a_row_count_once_each(note, record):
    assert await receipts(note, "normal", "normal", "normal", "normal") == [1, 2, 3, 4]
    assert await receipts(note, "normal", first_round=4) == [0], "the same receipt again"
    assert await receipts(note, "normal", first_round=3) == [0], "a repeated receipt of an earlier ring"
    assert (await record()).demoted == 4
    assert await receipts(note, "high", "normal", first_round=5) == [0, 1]
    await note(phones.note_receipt, NOW, round_started_at=7, event="rang")
    assert (await record()).demoted == 1, "a receipt without a priority says nothing"


@pytest.mark.parametrize(
    "leave",
    [
        registry.remove("default", PHONE),
        registry.prune_token("default", PHONE, 1, registry.BrakeLimits()),
        registry.register("default", a_device("sara", token=PHONE.token)),
    ],
    ids=["removed", "pruned", "moved"],
)
@pytest.mark.usefixtures("registered")
async def test_a_record_leaves_with_its_device(note, store, leave):
    await note(phones.note_health, NOW, PhoneHealth(os="android"))
    await run_steps(leave, store)
    assert await store.call("KEYS", "bellhop:phones:*") == []


async def test_a_user_has_as_many_records_as_devices(note, store):
    devices = [a_device(token=f"token-{number}", registered_at=number) for number in range(MAX_DEVICES_PER_USER + 2)]
    for device in devices:
        await run_steps(registry.register("default", device), store)
        await note(phones.note_health, NOW, PhoneHealth(os="android"), device=device)
    assert await store.call("HLEN", KEY) == MAX_DEVICES_PER_USER
    await store.call("HDEL", devices_key("default", "ben"), devices[-1].key)  # as an older version removes a device
    await note(phones.note_health, NOW, PhoneHealth(os="android"), device=devices[-2])
    assert await store.call("HEXISTS", KEY, devices[-1].key) == 0
    assert 0 < await store.call("TTL", KEY) <= phones.KEPT_S


def values_of(field):
    """The values that a field of PhoneHealth takes, the longest last."""
    words = [word for part in get_args(field.annotation) for word in get_args(part) if isinstance(word, str)]
    return [99, False, "\U0001f4de" * 99, *sorted(words, key=len)]


def test_the_largest_health_is_bounded():
    fields = PhoneHealth.model_fields.items()
    taken = [PhoneHealth.model_validate({name: value}).known() for name, field in fields for value in values_of(field)]
    longest = {name: value for known in taken for name, value in known.items()}
    assert longest.keys() == PhoneHealth.model_fields.keys()
    assert len(health_json(PhoneHealth.model_validate(longest)).encode()) <= MAX_HEALTH_BYTES


@pytest.mark.parametrize("stored", [b"", b"[]", b"{", b"\xff", b'{"health": [], "since": 7}', b"[" * 9999, None])
def test_a_record_that_cannot_be_read_is_an_empty_one(stored):
    assert read_record(stored) == PhoneRecord()


@pytest.mark.usefixtures("registered")
async def test_a_damaged_record_is_written_anew(note, record, store):
    await store.call("HSET", KEY, PHONE.key, '{"health": 7, "since": "x", "new": "of a newer version"}')
    await note(phones.note_health, NOW, PhoneHealth(os="android"))
    assert (await record()).health == PhoneHealth(os="android")
    assert json.loads(await store.call("HGET", KEY, PHONE.key))["new"] == "of a newer version"


def test_a_value_that_cannot_be_used_is_left_out():
    sent = {"os": "windows", "os_version": 16, "model": "x" * 99, "notifications": True, "ring_volume": 101, "new": 1}
    assert PhoneHealth.model_validate(sent | {"callkit_error": 3}).known() == {"model": "x" * 40, "callkit_error": 3}
    assert PhoneHealth.model_validate({"model": "\ud83d"}).known() == {"model": "?"}


def test_a_long_text_is_cut_off_to_what_is_read_back():
    cut_off = PhoneHealth.model_validate({"model": "x" * 39 + " y"})
    assert PhoneHealth.model_validate(cut_off.known()) == cut_off


JSON_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(), st.text(max_size=60), st.lists(st.integers())
)
USUAL_VALUES = st.sampled_from(
    ["android", "denied", "high", "normal", "none", "silent", True, False, 0, 7, "16", "é\0/"]
)
REPORTS = st.lists(
    st.dictionaries(st.sampled_from([*PhoneHealth.model_fields, "new"]), USUAL_VALUES | JSON_VALUES), max_size=5
)


@given(reports=REPORTS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_reports_add_up_as_python_would_add_them(redis_client, reports):
    redis_client.flushdb()
    run_blocking(registry.register("default", PHONE), redis_client)
    known, since = {}, {}
    for number, report in enumerate(reports, 1):
        health = PhoneHealth.model_validate(report)
        since |= {name: number for name, value in health.known().items() if known.get(name) != value}
        known |= health.known()
        run_script(redis_client, phones.note_health("default", "ben", PHONE.key, Micros(number * 1000), health))
    stored = redis_client.execute_command(*phones.read_some("default", "ben", [PHONE.key]))
    record = phones.records_of([PHONE.key], stored)[PHONE.key]
    assert (record.health.known(), dict(record.since_ms)) == (known, since)
    assert len(health_json(record.health).encode()) <= MAX_HEALTH_BYTES
