"""What was turned away in the last hour: counted by reason, app and address, and limited."""

import time

import pytest

from bellhop.store.keys import turned_away_key
from bellhop.telemetry import turned_away
from bellhop.telemetry.hour_slots import SLOT_S
from bellhop.telemetry.turned_away import (
    OF_API,
    SENTENCES,
    TurnedAway,
    TurnedAwayCounter,
    describe,
    read_last_hour,
)
from webhook.api_errors import ApiErrorKind
from webhook.error_handlers import REFUSALS
from webhook.intake.signature import Refusal


@pytest.fixture
def counter():
    return TurnedAwayCounter()


async def flush(store, counter):
    await store.script(*counter.flush())


async def test_several_processes_count_together(store, redis_client):
    for counter in (TurnedAwayCounter(), TurnedAwayCounter()):
        for _ in range(20):
            counter.add("bad_signature", "k", "192.0.2.7", known_app=True)
        await flush(store, counter)
    assert read_last_hour(redis_client) == {TurnedAway("bad_signature", "k", "192.0.2.7"): 40}


async def test_a_process_that_counted_nothing_writes_nothing(counter):
    assert counter.flush() is None


async def test_what_is_older_than_an_hour_is_left_out(store, redis_client, counter, monkeypatch):
    counter.add("bad_signature")
    await flush(store, counter)
    now_s = time.time()
    for ago_s, number in ((50 * 60, 1), (70 * 60, 0)):
        monkeypatch.setattr(time, "time", lambda ago_s=ago_s: now_s + ago_s)
        assert read_last_hour(redis_client).total() == number
    [key] = redis_client.keys("bellhop:turned-away:*")
    assert 3600 < redis_client.ttl(key) <= 3600 + 2 * SLOT_S


async def test_many_addresses_and_keys_stay_few_entries(store, redis_client, monkeypatch):
    monkeypatch.setattr(turned_away, "MAX_ENTRIES", 5)
    for turn in range(4):
        counter = TurnedAwayCounter()
        for number in range(50):
            counter.add("unknown_app", f"key-{turn}-{number}", f"192.0.2.{number}")
            counter.add("bad_signature", "k", f"192.0.2.{number}", known_app=True)
        await flush(store, counter)
    counts = read_last_hour(redis_client)
    assert len(counts) <= 5 + 2
    assert counts.total() == 400, "each is counted"
    assert counts[TurnedAway("bad_signature", "k")] > 100, "an app of the settings keeps its name"


async def test_an_app_that_is_no_text_has_no_name(store, redis_client, counter):
    counter.add("unknown_app", "\x1b[31m" + "k" * 900)
    counter.add("unknown_app", "k" * 900)
    await flush(store, counter)
    assert read_last_hour(redis_client) == {TurnedAway("unknown_app"): 1, TurnedAway("unknown_app", "k" * 64): 1}


def test_the_sentence_names_number_cause_and_address():
    counts = {
        TurnedAway("bad_signature", "k", "192.0.2.7"): 30,
        TurnedAway("bad_signature", "k", "192.0.2.8"): 11,
        TurnedAway("strange_address", "k", "192.0.2.9"): 1,
        TurnedAway("of_a_newer_version"): 2,
    }
    first, second, third = describe(counts)
    assert first == (
        "41 webhooks refused in the last hour: signature does not match: is the secret of key k right? "
        "(from 192.0.2.7 and 1 more)"
    )
    assert second == "2 webhooks turned away in the last hour: of_a_newer_version"
    assert (
        third == "1 webhook refused in the last hour: the address is not in BELLHOP_WEBHOOK_NETWORKS (from 192.0.2.9)"
    )


def test_every_refusal_has_a_sentence():
    assert {refusal.label for refusal in Refusal} <= SENTENCES.keys()
    for reason in SENTENCES:
        assert describe({TurnedAway(reason, "k"): 2})[0].startswith(("2 webhooks ", "2 e-mails "))


def test_every_refusal_of_the_api_has_a_sentence():
    assert {kind.word for kind in ApiErrorKind if kind.status in REFUSALS} == OF_API.keys()
    counts = {TurnedAway("v1-bad-token", "", "192.0.2.7"): 2}
    assert describe(counts)[0].startswith("2 requests to /v1 refused in the last hour: the token is not signed with")


async def test_a_key_names_ten_minutes():
    assert turned_away_key(1_700_000_400) == "bellhop:turned-away:1700000400"
