"""The console's lists of calls, as taking events in writes them."""

from functools import partial

import pytest
from msgspec.structs import replace

from bellhop.call_index import (
    FROM_LATEST,
    MAX_CALLS,
    MAX_CALLS_OF_USER,
    MAX_LINE,
    MAX_LINES,
    NewEntry,
    calls_with,
    listed_calls,
)
from bellhop.clock import Micros
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import home_of, names_of, partition_of
from bellhop.store.keys import calls_key, calls_of_user_key, people_of_calls_key
from tests.factories import a_ring_event, an_event_user, event_fields
from tests.in_partitions import in_partitions
from webhook.intake.apply import apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.events import Accepted, EventUser, Missed, Notification

NOW, S = 1_800_000_000_000_000, 1_000_000
DAY_S = 24 * 3600
RULES = EffectRules("default", ring_default_s=30, missed_grace_s=5)
SARA, BEN = an_event_user("sara"), an_event_user("ben")


def ring(cid="default:1", at=NOW):
    return a_ring_event(at, cid=cid)


@pytest.fixture
def take(redis_client):
    script = partial(run_script, redis_client)
    taken = []

    def take(event, at=NOW, listed=True):
        taken.append(event)
        apply(
            script, "default", f"{len(taken)}", event, effects(event, at, RULES), at, trail_ttl_s=DAY_S, listed=listed
        )

    return take


def calls(redis_client, key=None):
    return [cid.decode() for cid in redis_client.zrevrange(key or calls_key("default"), 0, -1)]


def test_a_call_is_listed_for_everybody_in_it(redis_client, take):
    take(ring())
    assert calls(redis_client) == calls(redis_client, calls_of_user_key("default", "ben")) == ["default:1"]
    assert calls(redis_client, calls_of_user_key("default", "sara")) == ["default:1"]


def test_nothing_is_listed_without_a_console(redis_client, take):
    take(ring(), listed=False)
    assert not list(redis_client.scan_iter("bellhop:calls*"))


def test_a_call_that_rings_again_moves_up_and_a_miss_does_not(redis_client, take):
    first, second = ring("default:1"), ring("default:2", NOW + S)
    take(first)
    take(second, NOW + S)
    missed = Missed(
        **event_fields("missed", NOW + 2 * S, cid="default:1"), caller=SARA, call_name="", members=(BEN,), notify=True
    )
    take(missed, NOW + 2 * S)
    assert calls(redis_client) == ["default:2", "default:1"]
    take(replace(first, at=NOW + 3 * S), NOW + 3 * S)
    assert calls(redis_client) == ["default:1", "default:2"]


def test_a_missed_call_and_a_notification_are_listed_too(redis_client, take):
    take(Missed(**event_fields("missed", NOW, cid="default:1"), caller=SARA, call_name="", members=(BEN,), notify=True))
    take(
        Notification(**event_fields("notification", NOW, cid="default:2"), sender=SARA, call_name="", members=(BEN,)),
        NOW + S,
    )
    take(Accepted(**event_fields("accepted", NOW, cid="default:3"), user_id="ben"), NOW + S)
    assert calls(redis_client) == calls(redis_client, calls_of_user_key("default", "ben")) == ["default:2", "default:1"]


def test_lists_hold_no_more_than_the_latest(redis_client, take):
    redis_client.zadd(calls_key("default"), {f"default:old-{number}": NOW - number for number in range(MAX_CALLS)})
    for number in range(70):
        take(ring(f"default:{number}", NOW + 1 + number), NOW + 1 + number)
    newest = [f"default:{number}" for number in range(69, -1, -1)]
    assert calls(redis_client) == newest + [f"default:old-{number}" for number in range(MAX_CALLS - 70)]
    assert calls(redis_client, calls_of_user_key("default", "ben"))[-1] == f"default:{70 - MAX_CALLS_OF_USER}"


def lines(redis_client):
    return [line.decode() for line in redis_client.lrange(people_of_calls_key("default"), 0, -1)]


def test_each_ring_has_a_line_with_its_people(redis_client, take):
    zoe = EventUser("zoë-1", "Zoë  Lind")
    for number in range(2):
        at = NOW + number * S
        take(
            a_ring_event(
                at, cid="default:1", caller=EventUser("sara", "sara"), members=(zoe, EventUser("ben", "Osei"))
            ),
            at,
        )
    take(
        Missed(
            **event_fields("missed", NOW + 2 * S, cid="default:1"),
            caller=SARA,
            call_name="",
            members=(BEN,),
            notify=True,
        )
    )
    assert lines(redis_client) == ["default:1\tsara\tzoe-1 zoe lind\tben osei"] * 2
    assert 0 < redis_client.ttl(people_of_calls_key("default")) <= DAY_S


def test_the_lines_with_people_are_few_and_short(redis_client, take):
    redis_client.lpush(people_of_calls_key("default"), *(["old"] * MAX_LINES))
    members = tuple(an_event_user(f"user-{number}-{'x' * 50}") for number in range(500))
    take(a_ring_event(NOW, cid="default:1", members=members))
    newest, *others = lines(redis_client)
    assert len(others) == MAX_LINES - 1
    assert 250 < len(newest) < MAX_LINE + 50


def test_a_call_leaves_the_list_with_its_trail(redis_client, take):
    take(ring("default:1"))
    take(ring("default:2"), NOW + DAY_S * S)
    assert calls(redis_client) == ["default:2", "default:1"]
    take(ring("default:3"), NOW + DAY_S * S + 1)
    assert calls(redis_client) == ["default:3", "default:2"]
    for key in redis_client.scan_iter("bellhop:calls*"):
        assert 0 < redis_client.ttl(key) <= DAY_S


def test_the_lists_of_all_partitions_are_read_as_one(redis_client, monkeypatch):
    """A single Redis can hold keys of several partitions."""
    among = in_partitions(monkeypatch, 3)
    for number in range(9):
        cid, partition = f"default:{number}", among[number % 3]
        line = NewEntry(cid, {"ben": f"Ben {number % 2}"}, NOW + number, begins=True).for_tenant()["line"]
        redis_client.zadd(partition.key(calls_key("default")), {cid: NOW + number})
        redis_client.lpush(partition.key(people_of_calls_key("default")), line)
    batches = list(listed_calls(redis_client, "default", "", FROM_LATEST, 4))
    assert [[call.cid[-1] for call in batch] for batch in batches] == [[*"8765"], [*"4321"], [*"0"]]
    found = calls_with(redis_client, "default", "ben 1", NOW + 7, 4)
    assert [[call.cid[-1] for call in batch] for batch in found] == [[*"531"]]
    ben = home_of(calls_of_user_key("default", "ben"))
    (of_ben,) = names_of(calls_of_user_key("default", "ben"), among)
    assert of_ben == partition_of(ben, among).key(calls_of_user_key("default", "ben"))
    redis_client.zadd(of_ben, {"default:5": NOW})
    assert [[call.cid for call in batch] for batch in listed_calls(redis_client, "default", "ben", 0, 4)] == [
        ["default:5"]
    ]


@pytest.mark.parametrize("length", range(1, 30))
def test_a_line_has_no_part_of_an_id(length):
    """Else forgetting a person could not recognize the rest of the id."""
    people = {f"{number:02}-{'x' * length}": f"Name {number}" for number in range(99)}
    entry = NewEntry("default:1", people, Micros(1), begins=True)
    _, *parts = entry.for_tenant()["line"].split("\t")
    assert {part.partition(" ")[0] for part in parts} <= people.keys()
    assert MAX_LINE - 40 < len("".join(parts)) <= MAX_LINE
