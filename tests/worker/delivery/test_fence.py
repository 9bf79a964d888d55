"""The fence on a real Redis: whether a device may be sent a push right now, and why not."""

import asyncio
import re
import time
from dataclasses import replace

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import plan
from bellhop.domain.push import Push, PushKind
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import redis_clock
from bellhop.store.keys import call_key, owner_key, round_key, stream_clock_key, trail_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import Tally
from bellhop.trail import PushAttempted, encode
from tests.factories import a_browser, a_device, a_queued_round
from tests.trails import trail_of
from worker.delivery.fence import MOST_PER_CALL, Fence, Record
from worker.delivery.record_buffer import RecordBuffer
from worker.delivery.sent_pushes import RoundPushes, SentPushes

USERS = [f"user-{number}" for number in range(1_000)]


@pytest.fixture
async def store(store, live_workers):
    owners = [part for user in USERS for part in (owner_key("default", a_device(user).key), user)]
    await store.call("MSET", *owners)
    return store


async def claim(fence: Fence, push: Push, attempt_s: float) -> Outcome | None:
    return (await fence.admit(push, attempt_s)).refusal


def ringing(redis_url: str, users: list[str] = USERS[:1], for_s: float = 30, age_s: float = 0) -> QueuedRound:
    """A round that began `age_s` ago by Redis's clock."""
    with redis.Redis.from_url(redis_url) as client:
        seconds, micros = client.time()
    start = seconds * 1_000_000 + micros - round(age_s * 1e6)
    return a_queued_round(*users, started_at=start, for_s=for_s, callers=("sara",))


def pushes(round_: QueuedRound, kind: PushKind = PushKind.RING) -> list[Push]:
    devices = {recipient.id: [a_device(recipient.id)] for recipient in round_.recipients}
    return plan(kind, round_, devices, round_.started_at).pushes


async def taken_over(store, redis_url):
    """Let w-1 claim a device and lose its lease, and then w-2 claim it; returns round, push and both fences."""
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    first, successor = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-2", PushKind.RING, round_)
    assert await claim(first, push, 3) is None
    await store.call("DEL", "bellhop:worker:w-1")
    assert await claim(successor, push, 3) is None
    return round_, push, first, successor


async def test_a_device_gets_a_push_once_from_all_workers(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    first, second = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-2", PushKind.RING, round_)
    assert await claim(first, push, 3) is None
    await first.write(Record("", push.device.key, True))
    assert await claim(first, push, 3) is await claim(second, push, 3) is Outcome.DUPLICATE


async def test_a_failed_attempt_frees_the_device(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    first, second = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-2", PushKind.RING, round_)
    assert await claim(first, push, 3) is None
    await first.write(Record("", push.device.key, False))
    assert await claim(second, push, 3) is None


async def test_an_accepted_push_counts_after_its_claim_was_taken_over(store, redis_url):
    _, push, paused, successor = await taken_over(store, redis_url)
    await paused.write(Record("", push.device.key, sent=True))
    await successor.write(Record("", push.device.key, sent=False))
    assert await claim(successor, push, 3) is Outcome.DUPLICATE


async def test_a_token_that_moves_while_it_is_sent_to_rings_once(store, redis_url):
    round_ = ringing(redis_url, USERS[:2])
    ben, jane = pushes(round_)
    hers = replace(jane, device=jane.device.model_copy(update={"token": ben.device.token}))
    fence = Fence(store, "w-1", PushKind.RING, round_)
    assert await claim(fence, ben, 3) is None
    await store.call("SET", owner_key("default", ben.device.key), USERS[1])
    assert await claim(fence, hers, 3) is Outcome.HELD
    await fence.write(Record("", ben.device.key, sent=True))
    assert await claim(fence, hers, 3) is Outcome.DUPLICATE


async def test_a_round_knows_for_whom_it_rang_a_phone_with_a_ticket(store, redis_url):
    round_ = ringing(redis_url, USERS[:2])
    ben, jane = pushes(round_)
    key, field = round_key("default", "default:1", round_.started_at), f"to:{ben.device.key}"
    assert await claim(Fence(store, "w-1", PushKind.RING, round_), jane, 3) is None
    fence = Fence(store, "w-1", PushKind.RING, round_, tickets=True)
    assert await claim(fence, ben, 3) is None
    assert await store.call("HGET", key, f"to:{jane.device.key}") is None
    assert await store.call("HGET", key, field) == USERS[0].encode()
    await fence.write(Record("", ben.device.key))
    await store.call("SET", owner_key("default", ben.device.key), USERS[1])
    hers = replace(jane, device=jane.device.model_copy(update={"token": ben.device.token}))
    assert await claim(fence, hers, 3) is None
    assert await store.call("HGET", key, field) == USERS[1].encode(), "the last claim counts"


@pytest.mark.parametrize("now_whose", ["somebody-else", None])
async def test_a_phone_that_was_passed_on_or_signed_out_is_not_rung(store, redis_url, now_whose):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    key = owner_key("default", push.device.key)
    await (store.call("SET", key, now_whose) if now_whose else store.call("DEL", key))
    assert await claim(Fence(store, "w-1", PushKind.RING, round_), push, 3) is Outcome.SIGNED_OUT


async def test_a_token_that_has_moved_rings_its_new_user_alone(store, redis_url):
    """Both users' devices were read before the token moved, and are claimed together."""
    round_ = ringing(redis_url, USERS[:3])
    ben, jane, third = pushes(round_)
    hers = replace(jane, device=jane.device.model_copy(update={"token": ben.device.token}))
    await store.call("SET", owner_key("default", ben.device.key), USERS[1])
    fence = Fence(store, "w-1", PushKind.RING, round_)
    answers = await asyncio.gather(*(claim(fence, push, 3) for push in (ben, hers, third)))
    assert answers == [Outcome.SIGNED_OUT, None, None]
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), hers, 3) is Outcome.HELD


async def test_a_token_that_has_moved_leaves_no_claim(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    await store.call("SET", owner_key("default", push.device.key), "somebody-else")
    assert await claim(Fence(store, "w-1", PushKind.RING, round_), push, 3) is Outcome.SIGNED_OUT
    await store.call("SET", owner_key("default", push.device.key), USERS[0])
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), push, 3) is None
    assert await trail_of(store, "default:1") == []


@pytest.mark.parametrize("command", range(3))
async def test_a_death_after_a_claim_of_a_moved_phone_sends_nothing(store, redis_url, command):
    """The worker dies after each command in turn, while it claims a phone that has moved. The new user is rung once."""

    class Dies:
        left = command
        server_of_key = store.server_of_key

        async def script(self, name, keys, args):
            return (await self.together((name, keys, args)))[0]

        async def together(self, *commands, in_order=True):
            answers = []
            for one in commands:
                if self.left == 0:
                    await store.call("DEL", "bellhop:worker:w-1")
                    raise OSError("killed")
                self.left -= 1
                answers += await store.together(Command(*one) if one[0] != "MGET" else one)
            return answers

    round_ = ringing(redis_url, USERS[:2])
    ben, jane = pushes(round_)
    hers = replace(jane, device=jane.device.model_copy(update={"token": ben.device.token}))
    await store.call("SET", owner_key("default", ben.device.key), USERS[1])
    with pytest.raises(OSError, match="killed"):
        await claim(Fence(Dies(), "w-1", PushKind.RING, round_), ben, 3)
    successor = Fence(store, "w-2", PushKind.RING, round_)
    assert await asyncio.gather(claim(successor, ben, 3), claim(successor, hers, 3)) == [Outcome.SIGNED_OUT, None]


async def test_a_repeated_ring_leaves_the_phone_to_the_later_round(store, redis_url):
    early, late = ringing(redis_url, age_s=5), ringing(redis_url)
    for round_ in (early, late):
        key = round_key("default", "default:1", round_.started_at)
        await store.call("HSET", call_key("default", "default:1"), f"r:{round_.started_at}", "s-1")
        await store.call("HSET", key, f"u:{USERS[0]}", "{}")
    assert await claim(Fence(store, "w-1", PushKind.RING, early), pushes(early)[0], 3) is Outcome.RUNG_AGAIN
    assert await claim(Fence(store, "w-1", PushKind.RING, late), pushes(late)[0], 3) is None


async def test_an_admission_has_the_time_left_by_redis_clock(store, redis_url, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    round_ = ringing(redis_url, for_s=30)
    admission = await Fence(store, "w-1", PushKind.RING, round_).admit(pushes(round_)[0], 3)
    assert 20 < admission.left_s <= 30


@pytest.mark.parametrize("sent", [True, False])
async def test_a_record_whose_answer_was_lost_is_on_the_trail_once(store, redis_url, sent):
    class LosesAnAnswer:
        lost = 0

        together, server_of_key = store.together, store.server_of_key

        async def script(self, name, keys, args):
            answer = await store.script(name, keys, args)
            if name == "calls/record_attempt" and not self.lost:
                self.lost += 1
                raise RedisTimeoutError("no answer")
            return answer

    round_, redis_ = ringing(redis_url), LosesAnAnswer()
    (push,) = pushes(round_)
    fence = Fence(redis_, "w-1", PushKind.RING, round_)
    assert await claim(fence, push, 3) is None
    await fence.write(Record("one line", push.device.key, sent))
    assert redis_.lost
    await fence.write(Record("another"))
    assert await store.call("LRANGE", trail_key("default", "default:1"), 0, -1) == [b"one line", b"another"]


async def test_a_claim_holds_while_its_worker_lives(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    first, second = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-2", PushKind.RING, round_)
    assert await claim(first, push, 3) is None
    assert await claim(first, push, 3) is None, "its own claim does not count: an answer may have been lost"
    assert await claim(second, push, 3) is Outcome.HELD
    await store.call("DEL", "bellhop:worker:w-1")
    assert await claim(second, push, 3) is None


async def test_a_claim_ends_with_the_longest_time_its_attempt_may_take(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    assert await claim(Fence(store, "w-1", PushKind.RING, round_), push, -1) is None  # the claim lasts a second longer
    await asyncio.sleep(0.01)
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), push, 3) is None


async def test_a_run_that_lost_its_claim_changes_nothing(store, redis_url):
    round_, push, dead, _ = await taken_over(store, redis_url)
    await dead.write(Record("", push.device.key, False))
    await store.call("SET", "bellhop:worker:w-3", "1")
    assert await claim(Fence(store, "w-3", PushKind.RING, round_), push, 3) is Outcome.HELD


async def test_a_worker_without_a_lease_waits_for_it(store, redis_url):
    """Otherwise it and the worker that took its jobs over would ring the same phone."""
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    stopped, successor = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-2", PushKind.RING, round_)
    await store.call("DEL", "bellhop:worker:w-1")
    assert await claim(stopped, push, 3) is Outcome.HELD
    assert await claim(successor, push, 3) is None
    await store.call("SET", "bellhop:worker:w-1", "1")
    assert await claim(stopped, push, 3) is Outcome.HELD
    await successor.write(Record("", push.device.key, sent=False))
    assert await claim(stopped, push, 3) is None


@pytest.mark.parametrize("later", ["over", "goes on"])
async def test_a_claim_left_by_a_dead_worker_is_on_the_trail(store, redis_url, later):
    round_ = ringing(redis_url, USERS[:2])
    died, other = pushes(round_)
    await claim(Fence(store, "w-1", PushKind.RING, round_), died, 3)
    await store.call("DEL", "bellhop:worker:w-1")
    if later == "over":
        await store.call("HSET", call_key("default", "default:1"), "ended", round_.started_at + 1)
    fence = Fence(store, "w-2", PushKind.RING, round_)
    refusal = Outcome.ENDED if later == "over" else None
    assert await asyncio.gather(claim(fence, died, 3), claim(fence, other, 3)) == [refusal] * 2
    assert await claim(fence, died, 3) is refusal
    (attempt,) = await trail_of(store, "default:1")
    assert (attempt.user, attempt.device) == (died.device.user_id, died.device.key)
    assert (attempt.what, attempt.outcome, attempt.reason) == ("attempted", "worker_died", "worker w-1")


@pytest.mark.parametrize("outcome", ["accepted", "unknown", ""])
async def test_only_a_dead_workers_attempt_stays_lost(store, redis_url, outcome):
    """The record of a worker that lives is late; it replaces the line of its lost attempt, and no other."""
    round_ = ringing(redis_url, USERS[:2])
    push, others = pushes(round_)
    late, dead = Fence(store, "w-1", PushKind.RING, round_), Fence(store, "w-1", PushKind.RING, round_)
    assert [await claim(late, push, 3), await claim(dead, others, 3)] == [None, None]
    await store.call("DEL", "bellhop:worker:w-1")
    successor = Fence(store, "w-2", PushKind.RING, round_)
    assert [await claim(successor, push, 3), await claim(successor, others, 3)] == [None, None]
    assert await outcomes_by_device(store) == {push.device.key: ["worker_died"], others.device.key: ["worker_died"]}
    own = PushAttempted(at=1, round=1, kind="ring", user="u", outcome=outcome, device=push.device.key)
    record = late.command([Record(encode(own) if outcome else "", push.device.key, sent=outcome == "accepted")])
    for _ in range(2):  # the answer of the first may be lost
        await store.script(*record)
        told = {push.device.key: [outcome]} if outcome else {}
        assert await outcomes_by_device(store) == told | {others.device.key: ["worker_died"]}


async def outcomes_by_device(store):
    found = {}
    for line in await trail_of(store, "default:1"):
        found.setdefault(line.device, []).append(line.outcome)
    return found


async def test_what_redis_lost_is_not_sent_again(store, redis_url):
    round_, sent = ringing(redis_url, USERS[:2]), SentPushes("w-1")
    lost, kept = pushes(round_)
    first = Fence(store, "w-1", PushKind.RING, round_, "picked up", sent)
    assert await asyncio.gather(claim(first, lost, 3), claim(first, kept, 3)) == [None, None]
    await first.write(Record("lost", lost.device.key, sent=True))
    await store.call("DEL", trail_key("default", "default:1"), round_key("default", "default:1", round_.started_at))
    await first.write(Record("kept", kept.device.key, sent=True))
    again = Fence(store, "w-1", PushKind.RING, round_, "picked up again", sent)
    assert await asyncio.gather(claim(again, lost, 3), claim(again, kept, 3)) == [Outcome.DUPLICATE] * 2
    other = Fence(store, "w-2", PushKind.RING, round_)
    assert await asyncio.gather(claim(other, lost, 3), claim(other, kept, 3)) == [Outcome.DUPLICATE] * 2
    assert sorted(await store.call("LRANGE", trail_key("default", "default:1"), 0, -1)) == [b"kept", b"lost"]


async def test_a_record_that_was_restored_before_has_one_line(store, redis_url):
    """The worker remembers a push before Redis has its record, and the record may wait until Redis is back."""
    round_, sent = ringing(redis_url), SentPushes("w-1")
    (push,) = pushes(round_)
    fence = Fence(store, "w-1", PushKind.RING, round_, "picked up", sent)
    assert await claim(fence, push, 3) is None
    record = fence.command([Record("sent", push.device.key, sent=True)])
    assert await store.script(*sent.restore(RoundPushes.of(round_, PushKind.RING), [push.device.key])) == [1, 0]
    await store.script(*record)
    assert await store.call("LRANGE", trail_key("default", "default:1"), 0, -1) == [b"sent", b"picked up"]


async def test_a_push_that_another_worker_sends_again_is_counted(store, redis_url):
    round_, sent = ringing(redis_url), SentPushes("w-1")
    (push,) = pushes(round_)
    first, second = Fence(store, "w-1", PushKind.RING, round_, "", sent), Fence(store, "w-2", PushKind.RING, round_)
    await claim(first, push, 3)
    await first.write(Record("first", push.device.key, sent=True))
    await store.call("DEL", trail_key("default", "default:1"), round_key("default", "default:1", round_.started_at))
    assert await claim(second, push, 3) is None
    restore = sent.restore(RoundPushes.of(round_, PushKind.RING), [push.device.key])
    assert await store.script(*restore) == [0, 1]
    assert await store.script(*restore) == [0, 0], "once"
    await second.write(Record("second", push.device.key, sent=True))
    assert await store.call("LRANGE", trail_key("default", "default:1"), 0, -1) == [b"first", b"second"]


async def test_a_new_connection_restores_and_counts_lost_records(store, redis_url, monkeypatch):
    monkeypatch.setattr(metrics, "TALLY", tally := Tally())
    sent, round_ = SentPushes("w-1"), ringing(redis_url, USERS[:2])
    lost, taken = pushes(round_)
    for push in (lost, taken):
        sent.remember(RoundPushes.of(round_, PushKind.RING), push.device.key, f"sent to {push.device.user_id}")
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), taken, 3) is None
    restoring = asyncio.create_task(sent.keep_restoring(store))
    await asyncio.sleep(0)
    store.times_opened += 1
    async with asyncio.timeout(20):
        while await store.call("LLEN", trail_key("default", "default:1")) < 2:
            await asyncio.sleep(0.02)
        while len(tally._counts) < 2:
            await asyncio.sleep(0.02)
    restoring.cancel()
    name = "bellhop_lost_records_total"
    assert tally._counts == {(name, "restored"): 1, (name, "sent_again"): 1}
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), lost, 3) is Outcome.DUPLICATE


async def test_lost_records_are_restored_while_nothing_else_runs(store, redis_url):
    """The worker is idle, so no other command opens its connection anew."""
    sent, ring = SentPushes("w-1"), RoundPushes("default", "default:1", 1, PushKind.RING)
    sent.remember(ring, "phone", "sent to a phone")
    restoring = asyncio.create_task(sent.keep_restoring(store))
    await asyncio.sleep(0)
    with redis.Redis.from_url(redis_url) as others:
        others.client_kill_filter(_type="normal", skipme=True)
        async with asyncio.timeout(20):
            while not others.exists(trail_key("default", "default:1")):
                await asyncio.sleep(0.02)
    restoring.cancel()


@pytest.mark.parametrize("fault", ["many devices", "a broken key"])
async def test_one_round_does_not_stop_the_restoring_of_others(store, fault):
    sent, large, other = SentPushes("w-1"), *(RoundPushes("default", f"default:{n}", 1, PushKind.RING) for n in (1, 2))
    sent.remember(other, "phone", "sent to a phone")
    for number in range(5_000 if fault == "many devices" else 1):
        sent.remember(large, f"device-{number}", f"sent to {number}")
    if fault == "a broken key":
        await store.call("SET", trail_key("default", "default:1"), "no list")
    restoring = asyncio.create_task(sent.keep_restoring(store))
    await asyncio.sleep(0)
    store.times_opened += 1
    async with asyncio.timeout(20):
        while not await store.call("EXISTS", trail_key("default", "default:2")):
            await asyncio.sleep(0.02)
        while fault == "many devices" and await store.call("HLEN", round_key("default", "default:1", 1)) < 5_000:
            await asyncio.sleep(0.02)
        before = 0
        while before != (run := await scripts_run(store)):  # it ends: nothing is restored again and again
            before = run
            await asyncio.sleep(0.5)
    restoring.cancel()


async def scripts_run(store) -> int:
    calls = re.search(rb"cmdstat_evalsha:calls=(\d+)", await store.call("INFO", "commandstats"))
    return int(calls[1]) if calls else 0


def test_only_so_many_pushes_are_remembered_for_so_long(monkeypatch):
    sent, ring = SentPushes("w-1", kept_s=200, max_remembered=3), RoundPushes("default", "default:1", 1, PushKind.RING)
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    for number in range(4):
        sent.remember(ring, f"{number}", "a line")
    assert [bool(sent.restore(ring, [f"{number}"])) for number in range(4)] == [False, True, True, True]
    monkeypatch.setattr(time, "monotonic", lambda: 1_201.0)
    sent.remember(ring, "4", "a line")
    assert [bool(sent.restore(ring, [f"{number}"])) for number in range(5)] == [False] * 4 + [True]


async def test_nothing_is_sent_from_the_deadline_on(store, redis_url):
    round_ = ringing(redis_url, age_s=60)
    assert await claim(Fence(store, "w-1", PushKind.RING, round_), pushes(round_)[0], 3) is Outcome.TOO_LATE


async def test_a_difference_of_clocks_learned_a_moment_ago_counts(store, redis_url, monkeypatch):
    """The worker read the difference between Redis's clock and Stream's for the ring before."""
    clock, redis_ahead = RedisClock(), ("HSET", stream_clock_key("default"), "applied_us")
    before, ring_of_stream, over = ringing(redis_url), ringing(redis_url, age_s=600), ringing(redis_url)
    assert await claim(Fence(store, "w-1", PushKind.RING, before, clock=clock), pushes(before)[0], 3) is None
    await store.call(*redis_ahead, 600_000_000)
    fence = Fence(store, "w-1", PushKind.RING, ring_of_stream, clock=clock)
    assert await claim(fence, pushes(ring_of_stream)[0], 3) is None, "not too late by an old difference"
    await store.call(*redis_ahead, -600_000_000)
    monkeypatch.setattr(redis_clock, "LEAD_VALID_S", 0)
    fence = Fence(store, "w-1", PushKind.RING, over, clock=clock)
    assert await claim(fence, pushes(over)[0], 3) is Outcome.TOO_LATE


async def test_a_token_claimed_twice_at_once_is_sent_to_once(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    fence = Fence(store, "w-1", PushKind.RING, round_)
    answers = await asyncio.gather(*(claim(fence, push, 3) for _ in range(3)))
    assert sorted(map(str, answers)) == ["None", "duplicate", "duplicate"]


async def test_a_thousand_devices_are_claimed_in_two_calls(store, redis_url):
    round_ = ringing(redis_url, USERS)
    everyone = pushes(round_)
    await store.call("HSET", call_key("default", "default:1"), f"d:{USERS[7]}", round_.started_at)
    called = []

    class Counting:
        def server_of_key(self, key):
            return "one server has all tokens"

        async def together(self, owners, command, in_order=True):
            called.append(command.script)
            return await store.together(owners, command)

    fence = Fence(Counting(), "w-1", PushKind.RING, round_)
    answers = await asyncio.gather(*(claim(fence, push, 3) for push in everyone))
    assert [answer for answer in answers if answer] == [Outcome.DECLINED]
    assert answers[7] is Outcome.DECLINED
    assert called == ["calls/claim_devices"] * (len(everyone) // MOST_PER_CALL)


async def test_a_notice_goes_out_after_the_end_unless_answered(store, redis_url):
    round_ = ringing(redis_url, USERS[:2], age_s=60)
    stamps = {"ended": round_.started_at, f"a:{USERS[1]}": round_.started_at}
    await store.call("HSET", call_key("default", "default:1"), *[part for pair in stamps.items() for part in pair])
    fence = Fence(store, "w-1", PushKind.MISSED, round_)
    assert [await claim(fence, push, 3) for push in pushes(round_, PushKind.MISSED)] == [None, Outcome.ANSWERED]


async def test_no_notice_while_a_later_round_rings_the_user(store, redis_url):
    round_ = ringing(redis_url, USERS[:2], age_s=60)
    later = round_.started_at + 1
    await store.call("HSET", call_key("default", "default:1"), f"r:{later}", "s-2", f"r:{round_.started_at}", "s-1")
    await store.call("HSET", round_key("default", "default:1", later), f"u:{USERS[0]}", "{}")
    fence = Fence(store, "w-1", PushKind.MISSED, round_)
    assert [await claim(fence, push, 3) for push in pushes(round_, PushKind.MISSED)] == [Outcome.RUNG_AGAIN, None]


async def test_a_round_known_from_its_call_missed_rings_nobody_again(store, redis_url):
    round_ = ringing(redis_url, age_s=60)
    later = round_.started_at + 1
    await store.call("HSET", call_key("default", "default:1"), f"r:{later}", "s-2")
    await store.call("HSET", round_key("default", "default:1", later), f"u:{USERS[0]}", "{}", "ringless", "1")
    assert await claim(Fence(store, "w-1", PushKind.MISSED, round_), pushes(round_, PushKind.MISSED)[0], 3) is None


async def test_any_number_of_lines_gets_onto_the_trail_in_order(store, redis_url):
    """As when a thousand users registered every token their phone ever had: each token left out has a line."""
    round_ = ringing(redis_url)
    lines = [f"line {number}" for number in range(9_000)]
    await Fence(store, "w-1", PushKind.RING, round_, "first").note(lines)
    key = trail_key("default", "default:1")
    assert await store.call("LRANGE", key, 0, -1) == [text.encode() for text in ("first", *lines)]


async def test_what_the_fence_writes_expires(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    fence = Fence(store, "w-1", PushKind.NOTIFICATION, round_)
    await claim(fence, push, 3)
    await fence.write(Record('{"what":"attempted"}', push.device.key, True))
    await fence.note(['{"what":"skipped"}'])
    for key in await store.call("KEYS", "bellhop:[rt][or][ua]*:default:*"):
        assert await store.call("TTL", key) > 0, key


async def test_a_claim_that_is_cancelled_leaves_nothing(store, redis_url):
    """Its device is free for the next run at once, and the trail tells of no attempt: none was made."""

    class Slow:
        """A Redis whose answers come late."""

        server_of_key = store.server_of_key

        async def together(self, *commands, in_order=True):
            answers = await store.together(*commands)
            await asyncio.sleep(60)
            return answers

        async def script(self, name, keys, args):
            return await store.script(name, keys, args)

    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    claiming = asyncio.create_task(claim(Fence(Slow(), "w-1", PushKind.RING, round_), push, 3))
    claims = round_key("default", round_.cid, round_.started_at)
    async with asyncio.timeout(20):
        while not await store.call("HEXISTS", claims, f"s:ring:{push.device.key}"):
            await asyncio.sleep(0.01)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), push, 3) is None
    assert await trail_of(store, "default:1") == []


async def test_a_record_is_written_although_its_writer_was_cancelled(store, redis_url):
    class Away:
        """A Redis that is away for a while."""

        away = False

        together, server_of_key = store.together, store.server_of_key

        async def script(self, name, keys, args):
            if self.away:
                raise RedisConnectionError
            return await store.script(name, keys, args)

    round_, away = ringing(redis_url), Away()
    (push,) = pushes(round_)
    fence = Fence(away, "w-1", PushKind.RING, round_)
    assert await claim(fence, push, 3) is None
    records = RecordBuffer(fence)
    records.add(Record("", push.device.key, sent=True))
    away.away = True
    writing = asyncio.create_task(records.flush())
    await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    away.away = False
    async with asyncio.timeout(20):
        key = round_key("default", round_.cid, round_.started_at)
        while await store.call("HGET", key, f"s:ring:{push.device.key}") != b"sent":
            await asyncio.sleep(0.05)
    assert await claim(Fence(store, "w-2", PushKind.RING, round_), push, 3) is Outcome.DUPLICATE


async def test_a_record_is_written_with_the_end_of_its_job(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    fence = Fence(store, "w-1", PushKind.RING, round_)
    records, field = RecordBuffer(fence), f"s:ring:{push.device.key}"
    key = round_key("default", round_.cid, round_.started_at)
    assert await claim(fence, push, 3) is None
    records.add(Record("a line", push.device.key, sent=True))
    (command,) = records.take()
    await asyncio.sleep(0.05)
    assert await store.call("HGET", key, field) != b"sent", "its caller writes it"
    await store.script(*command)
    assert await store.call("HGET", key, field) == b"sent"


async def test_a_record_is_written_soon_when_its_job_goes_on(store, redis_url):
    round_ = ringing(redis_url)
    (push,) = pushes(round_)
    fence = Fence(store, "w-1", PushKind.RING, round_)
    records = RecordBuffer(fence)
    assert await claim(fence, push, 3) is None
    records.add(Record("a line", push.device.key, sent=True))
    await asyncio.sleep(0)
    assert records.take() == []
    await records.written()
    key = round_key("default", round_.cid, round_.started_at)
    assert await store.call("HGET", key, f"s:ring:{push.device.key}") == b"sent"


class HeldUp:
    """A fence whose records are written one by one, as the test says; or not at all."""

    def __init__(self, error=None):
        self.error, self.going_on, self.written = error, asyncio.Semaphore(0), []

    async def write(self, record):
        await self.going_on.acquire()
        if self.error:
            raise self.error
        self.written.append(record.line)


async def test_all_records_are_waited_for_also_the_latest():
    fence = HeldUp()
    records = RecordBuffer(fence)
    records.add(Record("first"))
    await asyncio.sleep(0.01)

    async def last_push():
        records.add(Record("second"))
        await records.written()

    waiting = asyncio.create_task(last_push())
    await asyncio.sleep(0.01)
    fence.going_on.release()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    fence.going_on.release()
    await waiting
    assert fence.written == ["first", "second"]


async def test_a_record_that_redis_refused_fails_its_job():
    fence = HeldUp(ResponseError("WRONGTYPE"))
    records = RecordBuffer(fence)
    records.add(Record("a line"))
    fence.going_on.release()
    await asyncio.sleep(0.01)
    with pytest.raises(ResponseError):
        await records.written()


async def test_a_record_is_written_although_its_job_is_cancelled():
    fence = HeldUp()
    records = RecordBuffer(fence)
    records.add(Record("a line"))
    await asyncio.sleep(0.01)
    job = asyncio.create_task(records.written())
    await asyncio.sleep(0.01)
    job.cancel()
    fence.going_on.release()
    await records.written()
    assert fence.written == ["a line"]


async def test_the_end_of_a_ring_is_told_once_and_only_if_it_is_over(store, redis_url):
    round_ = ringing(redis_url)
    browser = a_browser(USERS[0])
    await store.call("SET", owner_key("default", browser.key), USERS[0])
    (push,) = plan(PushKind.RING_OVER, round_, {USERS[0]: [browser]}, round_.started_at).pushes
    fence = Fence(store, "w-1", PushKind.RING_OVER, round_)
    assert await claim(fence, push, 3) is Outcome.STILL_RINGS
    await store.call("HSET", call_key("default", round_.cid), f"a:{USERS[0]}", round_.started_at + 1)
    assert await claim(fence, push, 3) is None
    await fence.write(Record("a line", push.device.key, True))
    assert await claim(fence, push, 3) is Outcome.DUPLICATE
    assert not await store.call("EXISTS", trail_key("default", round_.cid)), "the trail has the standing"
    late = ringing(redis_url, age_s=31)
    await store.call("HSET", call_key("default", late.cid), f"a:{USERS[0]}", late.started_at + 1)
    assert await claim(Fence(store, "w-1", PushKind.RING_OVER, late), replace(push, deadline=late.deadline), 3) in (
        Outcome.TOO_LATE,
        Outcome.RUNG_AGAIN,
    )


async def test_a_fence_knows_that_a_dead_worker_may_have_sent_it(store, redis_url):
    _, push, first, successor = await taken_over(store, redis_url)
    assert (first.lost, successor.lost) == (set(), {push.device.key})
