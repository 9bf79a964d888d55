"""The console's lists of calls, as taking events in writes them."""

from dataclasses import replace
from functools import partial

import pytest
import redis

from bellhop import call_index
from bellhop.call_index import MOST_CALLS_OF_USER
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import calls_key, calls_of_user_key
from webhook.intake.apply import apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.events import Accepted, CallSnapshot, EventUser, Missed, Notification, Ring

NOW, S = 1_800_000_000_000_000, 1_000_000
DAY_S = 24 * 3600
RULES = EffectRules("default", ring_default_s=30, missed_grace_s=5)
SARA, BEN = EventUser("sara", "Sara"), EventUser("ben", "Ben")


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


def envelope(cid, kind, at):
    return {"type": f"call.{kind}", "cid": cid, "session_id": "s", "at": at, "snapshot": CallSnapshot()}


def ring(cid="default:1", at=NOW, callee=BEN):
    return Ring(
        **envelope(cid, "ring", at),
        caller=SARA,
        call_name="",
        members=(callee,),
        video=True,
        created_by_id="sara",
        ring_ms=30_000,
    )


@pytest.fixture
def take(client):
    script = partial(run_script, client)
    taken = []

    def take(event, at=NOW, listed=True):
        taken.append(event)
        apply(
            script, "default", f"{len(taken)}", event, effects(event, at, RULES), at, trail_ttl_s=DAY_S, listed=listed
        )

    return take


def calls(client, key=None):
    return [cid.decode() for cid in client.zrevrange(key or calls_key("default"), 0, -1)]


def test_a_call_is_listed_for_everybody_in_it(client, take):
    take(ring())
    assert calls(client) == calls(client, calls_of_user_key("default", "ben")) == ["default:1"]
    assert calls(client, calls_of_user_key("default", "sara")) == ["default:1"]


def test_nothing_is_listed_without_a_console(client, take):
    take(ring(), listed=False)
    assert not list(client.scan_iter("bellhop:calls*"))


def test_a_call_that_rings_again_comes_first_and_one_that_is_missed_stays_where_it_is(client, take):
    first, second = ring("default:1"), ring("default:2", NOW + S)
    take(first)
    take(second, NOW + S)
    missed = Missed(
        **envelope("default:1", "missed", NOW + 2 * S), caller=SARA, call_name="", members=(BEN,), notify=True
    )
    take(missed, NOW + 2 * S)
    assert calls(client) == ["default:2", "default:1"]
    take(replace(first, at=NOW + 3 * S), NOW + 3 * S)
    assert calls(client) == ["default:1", "default:2"]


def test_a_missed_call_and_a_notification_that_come_without_a_ring_are_listed(client, take):
    take(Missed(**envelope("default:1", "missed", NOW), caller=SARA, call_name="", members=(BEN,), notify=True))
    take(Notification(**envelope("default:2", "notification", NOW), sender=SARA, call_name="", members=(BEN,)), NOW + S)
    take(Accepted(**envelope("default:3", "accepted", NOW), user_id="ben"), NOW + S)
    assert calls(client) == calls(client, calls_of_user_key("default", "ben")) == ["default:2", "default:1"]


def test_lists_hold_no_more_than_the_latest(client, take, monkeypatch):
    monkeypatch.setattr(call_index, "MOST_CALLS", 60)
    for number in range(70):
        take(ring(f"default:{number}"), NOW + number)
    assert calls(client) == [f"default:{number}" for number in range(69, 9, -1)]
    assert calls(client, calls_of_user_key("default", "ben"))[-1] == f"default:{70 - MOST_CALLS_OF_USER}"


def test_a_call_leaves_the_list_with_its_trail(client, take):
    take(ring("default:1"))
    take(ring("default:2"), NOW + DAY_S * S)
    assert calls(client) == ["default:2", "default:1"]
    take(ring("default:3"), NOW + DAY_S * S + 1)
    assert calls(client) == ["default:3", "default:2"]
    for key in client.scan_iter("bellhop:calls*"):
        assert 0 < client.ttl(key) <= DAY_S
