"""Lines of the trail: compact, bounded, readable by later versions; and where the scripts put them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import trail
from bellhop.domain.device import Device, Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Round
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry, scripts
from bellhop.store.async_client import Store
from bellhop.store.keys import brake_key, trail_key
from bellhop.trail import LINE_BYTES, SHORT, Milestone, TokenFate, line, read_line
from webhook.intake.apply import Verdict, apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse
from worker.delivery.attempt import Delivered, deliver
from worker.delivery.fence import Admission, Fence, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner

NOW = 1_800_000_000_000_000
DAYS_S = 7 * trail.DAY_S


def test_a_line_reads_back_as_it_was_worded():
    facts = {"round": NOW - 5, "user": "jane", "outcome": "accepted", "status": 200, "ms": 4.2, "users": ["a", "b"]}
    assert read_line(line(Milestone.ATTEMPTED, NOW, **facts)) == {"what": "attempted", "at": NOW, **facts}


def test_empty_facts_are_left_out():
    assert read_line(line(Milestone.SKIPPED, NOW, reason="", device=None, users=[])) == {"what": "skipped", "at": NOW}


def test_a_line_is_shorter_than_with_whole_names():
    facts = {"round": NOW, "kind": "ring", "user": "jane", "device": "ab" * 10, "label": "Jane's iPhone"}
    facts |= {"provider": "apns", "environment": "production", "outcome": "accepted", "status": 200, "ms": 41.0}
    text = line(Milestone.ATTEMPTED, NOW, **facts)
    assert len(text) < 0.8 * len(json.dumps({"what": "attempted", "at": NOW, **facts}, separators=(",", ":")))


def test_every_fact_has_a_letter_of_its_own():
    assert len(set(SHORT.values())) == len(SHORT)
    assert all(len(letter) == 1 for letter in SHORT.values())


def test_a_fact_without_a_letter_keeps_its_name():
    assert read_line(line(Milestone.MAILED, NOW, folded=3))["folded"] == 3


def test_lines_of_the_first_version_still_read():
    assert read_line(b'{"what":"settled","at":1,"user":"jane","outcome":"busy"}')["outcome"] == "busy"


def test_a_newer_versions_line_gives_what_this_one_understands():
    assert read_line('[3,"teleported",7,{"u":"jane","hue":"red"},"more"]') == {
        "what": "teleported",
        "at": 7,
        "user": "jane",
        "hue": "red",
    }


def test_too_many_users_are_cut_and_counted():
    users = [f"user-{number}-{'x' * 30}" for number in range(1_000)]
    text = line(Milestone.RECEIVED, NOW, users=users)
    found = read_line(text)
    assert len(text.encode()) <= LINE_BYTES
    assert found["users"] == users[: len(found["users"])]
    assert len(found["users"]) + found["more"] == 1_000


def test_a_hundred_users_with_uuids_fit():
    users = [f"{number:08}-0000-4000-8000-000000000000" for number in range(100)]
    assert read_line(line(Milestone.RECEIVED, NOW, users=users))["users"] == users


@given(st.dictionaries(st.sampled_from(sorted(SHORT.keys() - {"users", "callers"})), st.text(max_size=255)), st.text())
def test_a_line_is_bounded_whatever_its_facts_are(facts, reason):
    text = line(Milestone.ATTEMPTED, NOW, **facts | {"reason": reason * 100})
    assert len(text.encode("utf-8", "replace")) <= LINE_BYTES
    assert read_line(text)["what"] == "attempted"


@pytest.fixture
async def store(redis_url):
    store = Store.from_url(redis_url)
    yield store
    await store.close()


@pytest.fixture
def intake(redis_url):
    from redis import Redis  # noqa: PLC0415

    with Redis.from_url(redis_url) as client:
        script = client.register_script(scripts.source("calls/take_event"))

        def take(event, webhook_id="one", attempt=1, **options):
            found = parse(json.dumps(event).encode())
            work = effects(found, NOW, EffectRules("default", 30, 5))
            return apply(script, "default", webhook_id, found, work, NOW, attempt=attempt, **options)

        yield take


async def test_a_ring_is_one_line_that_names_its_round_people_and_end(store, intake):
    call = SampleCall("sara", ("ben", "jane"), ring_ms=20_000)
    stamp = NOW // 1_000_000 - 1
    intake(call.ring(at=stamp), trail_ttl_s=DAYS_S)
    [found] = await trail.read(store, "default", call.cid)
    start = stamp * 1_000_000
    assert found == {
        "what": "received",
        "at": NOW,
        "type": "call.ring",
        "stamp": start,
        "attempt": 1,
        "users": ["ben", "jane"],
        "session": call.session_id[:8],
        "round": start,
        "callers": ["sara"],
        "until": start + 20_000_000,
    }
    assert DAYS_S - 60 < await store.call("TTL", trail_key("default", call.cid)) <= DAYS_S


async def test_a_webhook_that_comes_again_is_said_to(store, intake):
    call = SampleCall()
    ring = call.ring(at=NOW // 1_000_000)
    assert [intake(ring, attempt=n) for n in (1, 2)] == [Verdict.TAKEN, Verdict.ALREADY]
    found = await trail.read(store, "default", call.cid)
    assert [(one["what"], one["attempt"]) for one in found] == [("received", 1), ("repeated", 2)]


async def test_an_event_that_is_no_ring_claims_no_round(store, intake):
    call = SampleCall()
    for number, event in enumerate((call.accepted("jane"), call.rejected("ben", "busy"), call.ended())):
        intake(event, str(number))
    found = await trail.read(store, "default", call.cid)
    assert ["round" in one for one in found] == [False] * 3
    assert found[1]["reason"] == "busy"


async def test_a_rejections_own_words_stay_off_the_trail(store, intake):
    call = SampleCall()
    intake(call.rejected("ben", "call me at ben@example.com"))
    assert "example" not in str(await trail.read(store, "default", call.cid))


async def test_what_a_worker_adds_does_not_lengthen_the_trails_life(store):
    key = trail_key("default", "default:1")
    await store.call("RPUSH", key, line(Milestone.RECEIVED, NOW))
    await store.call("EXPIRE", key, 1_000)
    await store.script("calls/record_attempt", ["bellhop:round:x", key], ["ring", "w|1", trail.DAY_S, 10, 0, "a line"])
    assert 0 < await store.call("TTL", key) <= 1_000


async def test_a_trail_that_only_a_worker_writes_expires_too(store):
    key = trail_key("default", "default:1")
    await store.script("calls/record_attempt", ["bellhop:round:x", key], ["ring", "w|1", trail.DAY_S, 10, 0, "a line"])
    assert 0 < await store.call("TTL", key) <= trail.DAY_S


async def test_the_oldest_lines_of_a_long_trail_leave(store):
    key = trail_key("default", "default:1")
    lines = [line(Milestone.SKIPPED, NOW + number) for number in range(30)]
    await store.script("calls/record_attempt", ["bellhop:round:x", key], ["ring", "w|1", trail.DAY_S, 20, 0, *lines])
    assert [one["at"] - NOW for one in await trail.read(store, "default", "default:1")] == list(range(10, 30))


def phone(**fields):
    return Device(
        user_id="jane", provider=Provider.APNS, token="ab" * 32, app="com.example", **{"registered_at": NOW} | fields
    )


def dead(device, since):
    answer = AttemptResult(Outcome.TOKEN_DEAD, status=410, reason="Unregistered", dead_since=since)
    return Delivered(Push("id", PushKind.RING, device, {}, 0), Outcome.TOKEN_DEAD, answer)


async def test_what_becomes_of_a_dead_token_is_said(store):
    device, hygiene = phone(), TokenPruner(store)
    assert await hygiene.learn("default", device, dead(device, NOW + 1)) is TokenFate.CHANGED
    await store.script(*registry.register("default", device))
    assert await hygiene.learn("default", device, dead(device, NOW - 1)) is TokenFate.NEWER
    assert await hygiene.learn("default", device, dead(device, NOW + 1)) is TokenFate.REMOVED
    await store.call("SET", brake_key(device.provider, device.app), 1)
    assert await hygiene.learn("default", device, dead(device, NOW + 1)) is TokenFate.BRAKED


async def test_a_token_that_moves_to_the_other_environment_is_said_to(store):
    device = phone()
    await store.script(*registry.register("default", device))
    moved = Push("id", PushKind.RING, device.model_copy(update={"environment": Environment.SANDBOX}), {}, 0)
    fate = await TokenPruner(store).learn(
        "default", device, Delivered(moved, Outcome.ACCEPTED, AttemptResult(Outcome.ACCEPTED))
    )
    assert fate is TokenFate.MOVED


async def test_that_work_was_picked_up_rides_on_the_first_line_that_follows():
    calls = []

    class Counting:
        async def script(self, name, keys, args):
            calls.append(args)

    round_ = Round(
        tenant="default",
        cid="default:1",
        session_id="s",
        started_at=1,
        deadline=2,
        caller_id="sara",
        caller_name="Sara",
    )
    gate = Fence(Counting(), "w", PushKind.RING, round_, "picked up")
    await gate.note([])
    assert not calls, "no round trip for it alone"
    await gate.note(["skipped"])
    await gate.write(Record("attempted", phone().key, sent=True))
    assert [args[5:] for args in calls] == [["picked up", "skipped"], [phone().key, "sent", "attempted"]]


async def test_a_push_that_waits_for_its_provider_says_so_once():
    lines = []

    class Open:
        async def admit(self, push, attempt_s):
            return Admission(None, time.monotonic(), push.deadline - time.time())

        async def write(self, record):
            lines.extend([record.line] if record.line else [])

    device = phone()
    lane = ProviderChannel(None, "apns")
    push = Push("id", PushKind.RING, device, {}, time.time() + 1.5)

    async def barely(_):
        return AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=0.01)

    lane.attempt = lambda push, timeout_s, start_s: barely(push)
    lines.append((await deliver(push, {(device.provider, device.app): lane}, Open())).record.line)
    told = [(read_line(text)["what"], read_line(text)["outcome"]) for text in lines]
    assert told == [("waited", "circuit_open"), ("finished", "gave_up")]


def test_a_providers_half_character_is_no_obstacle():
    text = line(Milestone.MAILED, 1, outcome="mail_accepted", reason="250 f\udcfcr die Zustellung", id="\ud83d")
    assert read_line(text.encode())["outcome"] == "mail_accepted"
