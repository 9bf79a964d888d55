"""Settling calls: each standing is recorded once, and every key expires."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import redis

from bellhop.domain.call import CALL_TTL_S, OPEN_TTL_S
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.queue.names import NOTICE_JOB, NOTICES
from bellhop.queue.worker_status import read_installation_state
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import (
    AGENDA,
    RQ_QUEUES,
    call_key,
    lease_key,
    round_key,
    rq_job_key,
    rq_queue_key,
    stream_clock_key,
)
from bellhop.store.missed_calls import count_unseen
from bellhop.store.steps import run_steps
from tests.factories import a_device
from tests.in_partitions import in_partitions
from tests.trails import trail_of
from webhook.intake.apply import apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse
from worker.delivery.fence import Fence
from worker.settle import queue_due_calls, settle_call

RULES = EffectRules("default", 30, 5)
GRACE_US = 5_000_000


@pytest.fixture
def post(redis_url):
    """Take an event in, as the web process does."""
    with redis.Redis.from_url(redis_url) as client:
        script, count = partial(run_script, client), iter(range(10_000))

        def post(event) -> None:
            seconds, micros = client.time()
            now, value = seconds * 1_000_000 + micros, parse(json.dumps(event).encode())
            apply(script, "default", f"{next(count)}", value, effects(value, now, RULES), now)

        yield post


def now_s(redis_url: str) -> float:
    with redis.Redis.from_url(redis_url) as client:
        seconds, micros = client.time()
    return seconds + micros / 1e6


async def settled(store: Store, call: SampleCall) -> Counter[tuple[int, str, str]]:
    lines = await trail_of(store, call.cid)
    return Counter((line.round, line.user, line.outcome) for line in lines if line.what == "settled")


async def notices(store: Store) -> list[tuple[int, str]]:
    """The queued notices: the round and the user of each."""
    found = []
    for job_id in await store.call("LRANGE", "rq:queue:bellhop-notices", 0, -1):
        name, _, (payload,), _ = json.loads(await store.call("HGET", b"rq:job:" + job_id, "data"))
        if name == NOTICE_JOB:
            found.append((payload["started_at"], payload["recipients"][0]["id"]))
    return found


async def may_go(store: Store, ring, user: str, kind: PushKind = PushKind.RING) -> bool:
    """Whether the fence lets a push to this member be sent now."""
    value = parse(json.dumps(ring).encode())
    round_ = effects(value, value.at, RULES).round
    phone = a_device(user)
    (push,) = plan(kind, round_, {user: [phone]}, value.at).pushes
    await run_steps(registry.register("default", phone), store)
    await store.call("SET", lease_key("w-1"), "1")
    return (await Fence(store, "w-1", kind, round_).admit(push, 3)).refusal is None


async def jobs(store: Store, queue: str = "bellhop-notices") -> list[str]:
    return [job.decode().partition("-")[0] for job in await store.call("LRANGE", f"rq:queue:{queue}", 0, -1)]


async def test_a_round_settled_by_many_at_once_is_settled_once(store, post, redis_url):
    call = SampleCall(members=tuple(f"user-{number}" for number in range(50)), ring_ms=5_000)
    post(call.ring(at=now_s(redis_url) - 20))
    await asyncio.gather(*(settle_call(store, "default", call.cid, GRACE_US) for _ in range(8)))
    outcomes = await settled(store, call)
    assert len(outcomes) == 50
    assert set(outcomes.values()) == {1}
    assert (await jobs(store)).count("notice") == 50
    assert await store.call("ZSCORE", AGENDA, f"default:{call.cid}") is None


async def test_an_end_whose_record_had_no_answer_is_returned(store, post, redis_url):
    """The answer is lost, and an event comes before the record is repeated: by then, the call has changed."""
    call, began_s = SampleCall(members=("ben",), ring_ms=30_000), now_s(redis_url) - 3
    post(call.ring(at=began_s))
    post(call.accepted("ben", at=began_s + 1))

    class LosesAnAnswer:
        together, partitions = store.together, store.partitions
        lost = False

        async def script(self, name, keys, args):
            answer = await store.script(name, keys, args)
            if name == "calls/settle_call" and not self.lost:
                self.lost = True
                post(call.joined("ben", at=began_s + 2))
                raise redis.ConnectionError("the connection was lost")
            return answer

    (ended,) = await settle_call(LosesAnAnswer(), "default", call.cid, GRACE_US)
    assert [recipient.id for recipient in ended.round.recipients] == ["ben"]
    assert set((await settled(store, call)).values()) == {1}


@pytest.mark.parametrize("redis_ahead_s", [0, 60, -60])
async def test_a_claim_that_nobody_ends_is_a_lost_attempt(store, post, redis_url, redis_ahead_s):
    """Claims end by Redis's clock, and everything else of a call is in Stream's time."""
    await store.call("HSET", stream_clock_key("default"), "applied_us", redis_ahead_s * 1_000_000)
    call, phone = SampleCall(members=("ben",), ring_ms=30_000), a_device("ben")
    stream_now_s = now_s(redis_url) - redis_ahead_s
    ring = call.ring(at=stream_now_s - 2)
    post(ring)
    assert await may_go(store, ring, "ben")
    post(call.ended(at=stream_now_s - 1))

    async def claim_ends(in_s: float) -> float:
        """Let the claim end then, and settle; returns in how many seconds the call is due again."""
        until = round((now_s(redis_url) + in_s) * 1e6)
        (key,) = await store.call("KEYS", round_key("default", call.cid, "*"))
        await store.call("HSET", key, f"s:ring:{phone.key}", f"w-1|run|{until}")
        await settle_call(store, "default", call.cid, GRACE_US)
        due_ms = await store.call("ZSCORE", AGENDA, f"default:{call.cid}")
        return float(due_ms) / 1000 - now_s(redis_url) if due_ms else 0.0

    assert 0 < await claim_ends(20) <= 20.01
    assert [line for line in await trail_of(store, call.cid) if line.what == "attempted"] == []
    assert await claim_ends(-1) == 0
    (attempt,) = [line for line in await trail_of(store, call.cid) if line.what == "attempted"]
    assert (attempt.user, attempt.label, attempt.outcome) == ("ben", phone.label, "worker_died")


async def test_a_decision_about_a_call_that_has_moved_on_is_made_again(store, post, redis_url):
    call = SampleCall(members=("ben",), ring_ms=5_000)
    post(call.ring(at=now_s(redis_url) - 20))

    class AnswersMeanwhile:
        """The webhook of the answer arrives after the call was read, and before it is settled."""

        together, partitions = store.together, store.partitions
        answered = False

        async def script(self, name, keys, args):
            if name == "calls/settle_call" and not self.answered:
                self.answered = True
                post(call.accepted("ben", at=now_s(redis_url) - 10))
            return await store.script(name, keys, args)

    await settle_call(AnswersMeanwhile(), "default", call.cid, GRACE_US)
    assert [outcome for _, _, outcome in await settled(store, call)] == ["answered"]
    assert "notice" not in await jobs(store)


async def test_a_call_that_never_rests_is_settled(store, post, redis_url):
    """Thousands are in the call. Whenever it has been read, somebody joins it."""
    call, began_s = SampleCall(members=("ben", "jane"), ring_ms=5_000), now_s(redis_url) - 20
    post(call.ring(at=began_s))

    class OthersJoin:
        together, partitions, joined = store.together, store.partitions, 0

        async def script(self, name, keys, args):
            if name == "calls/settle_call":
                self.joined += 1
                post(call.joined(f"viewer-{self.joined}"))
            return await store.script(name, keys, args)

    async with asyncio.timeout(20):
        await settle_call(OthersJoin(), "default", call.cid, GRACE_US)
    assert sorted(user for _, user, _ in await settled(store, call)) == ["ben", "jane"]
    assert (await jobs(store)).count("notice") == 2
    due_s = float(await store.call("ZSCORE", AGENDA, f"default:{call.cid}")) / 1000
    assert due_s - now_s(redis_url) < 5, "what came meanwhile is looked at soon"
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await store.call("ZSCORE", AGENDA, f"default:{call.cid}") is None
    assert (await jobs(store)).count("notice") == 2


async def test_an_open_round_keeps_its_time_on_the_agenda(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane"), ring_ms=5_000), now_s(redis_url)
    post(call.ring(at=began))
    post(call.rejected("ben"))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert [user for _, user, _ in await settled(store, call)] == ["ben"]
    score = float(await store.call("ZSCORE", AGENDA, f"default:{call.cid}"))
    assert score == pytest.approx((began + 10) * 1000, abs=2)


async def test_an_event_of_a_closed_call_queues_no_job(store, post, redis_url):
    call, began = SampleCall(members=("ben",)), now_s(redis_url) - 5
    post(call.ring(at=began))
    post(call.ended(at=began + 1))
    assert await jobs(store) == ["settle"]
    await settle_call(store, "default", call.cid, GRACE_US)
    before = await jobs(store)
    post(call.session_ended(at=began + 2))
    post(call.rejected("ben", at=began + 3))
    assert await jobs(store) == before
    post(call.missed(at=began + 4))
    assert await jobs(store) == [*before, "settle"], "the worker notes that this app sends call.missed"


async def test_events_that_one_settle_job_will_read_queue_no_other(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane"), ring_ms=120_000), now_s(redis_url) - 3
    post(call.ring(at=began))
    post(call.rejected("ben"))
    queued_us = await store.call("HINCRBY", call_key("default", call.cid), "settle_job", 60_000_000)  # a slow machine
    for event in (call.missed("jane"), call.session_ended(), call.ended()):
        post(event)
    assert await jobs(store) == ["settle"]
    # If that job is lost, or an older worker ran it and left the field, the watchdog looks at the call a second later.
    due_ms = float(await store.call("ZSCORE", AGENDA, f"default:{call.cid}"))
    assert due_ms == queued_us // 1000 + 1000
    await settle_call(store, "default", call.cid, GRACE_US)
    assert sorted(user for _, user, _ in await settled(store, call)) == ["ben", "jane"]


async def test_an_event_after_the_settling_queues_a_job_again(store, post, redis_url):
    call = SampleCall(members=("ben", "jane"), ring_ms=5_000)
    post(call.ring())
    for member in ("ben", "jane"):
        post(call.rejected(member))
        await settle_call(store, "default", call.cid, GRACE_US)
    assert await jobs(store) == ["settle", "settle"]


async def test_a_settle_job_that_waits_too_long_is_not_relied_on(store, post, redis_url):
    call = SampleCall(members=("ben", "jane"), ring_ms=5_000)
    post(call.ring())
    post(call.rejected("ben"))
    await store.call("HINCRBY", call_key("default", call.cid), "settle_job", -1_000_000)
    post(call.ended())
    assert await jobs(store) == ["settle", "settle"]


async def test_a_call_missed_before_its_ring_gives_one_notice(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane")), now_s(redis_url) - 20
    post(call.missed(at=began + 10))
    await settle_call(store, "default", call.cid, GRACE_US)
    post(call.ring(at=began))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert (await jobs(store)).count("notice") == 2
    assert sorted((user, outcome) for _, user, outcome in await settled(store, call)) == [
        ("ben", "missed"),
        ("ben", "missed"),
        ("jane", "missed"),
        ("jane", "missed"),
    ]


async def test_a_call_missed_belongs_to_the_round_of_its_members(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane"), ring_ms=5_000), now_s(redis_url) - 20
    post(call.ring(at=began))
    await settle_call(store, "default", call.cid, GRACE_US)
    post(call.missed("ben", "jane", "ana"))
    post(call.missed("ana"))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert (await jobs(store)).count("notice") == 3
    assert sorted((user, outcome) for _, user, outcome in await settled(store, call)) == [
        ("ana", "missed"),
        ("ben", "no_answer"),
        ("jane", "no_answer"),
    ]


async def test_a_rejection_named_by_another_event_stops_the_ring(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane")), now_s(redis_url) - 2
    ring = call.ring(at=began)
    post(ring)
    assert await may_go(store, ring, "ben")
    call.rejected("ben", at=began + 0.5)  # its webhook is late, or lost
    post(call.accepted("jane", at=began + 1))
    assert not await may_go(store, ring, "ben")


@pytest.mark.parametrize(("reason", "notified", "outcome"), [("decline", 0, "declined"), ("busy", 1, "busy")])
async def test_a_late_rejection_counts_before_the_cancel(store, post, redis_url, reason, notified, outcome):
    """When the last callee rejects, the caller's app rejects at once. The two webhooks may arrive in either order."""
    call, began = SampleCall(members=("ben",)), now_s(redis_url) - 1
    post(call.ring(at=began))
    rejected = call.rejected("ben", reason, at=began + 0.5)
    post(call.rejected(call.caller, "cancel", at=began + 0.6))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await notices(store) == []
    post(rejected)
    await settle_call(store, "default", call.cid, GRACE_US)
    assert len(await notices(store)) == notified
    assert [word for _, _, word in await settled(store, call)] == [outcome]


async def test_a_rejection_without_its_reason_is_a_decline(store, post, redis_url):
    call, began = SampleCall(members=("ben",), ring_ms=5_000), now_s(redis_url) - 20
    post(call.ring(at=began))
    call.rejected("ben", at=began + 0.5)
    post(call.rejected(call.caller, "cancel", at=began + 0.6))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert [word for _, _, word in await settled(store, call)] == ["declined"]
    assert await notices(store) == []


async def test_a_missed_without_notice_asks_for_no_notice(store, post, redis_url):
    """Each user has an event. The call inside the first one names all who missed it."""
    call = SampleCall(members=("ben", "jane"), ring_ms=30_000)
    post(call.ring(at=now_s(redis_url) - 2))
    call.missed_by |= dict.fromkeys(call.members, call.ring(at=now_s(redis_url))["created_at"])
    for user in call.members:
        post(call.missed(user, notify_user=False, at=now_s(redis_url)))
        await settle_call(store, "default", call.cid, GRACE_US)
    assert {outcome for _, _, outcome in await settled(store, call)} == {"missed_quietly"}
    assert await notices(store) == []


async def test_a_call_missed_does_not_end_the_next_ring(store, post, redis_url):
    """Stream's timer for the first ring runs out two seconds into the second."""
    call, now = SampleCall(members=("ben",)), now_s(redis_url)
    first, second = call.ring(at=now - 30), call.ring(at=now - 2)
    for event in (first, second, call.missed(at=now)):
        post(event)
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await may_go(store, second, "ben")
    assert await settled(store, call) == {(_micros(first), "ben", "missed"): 1}
    assert await notices(store) == [(_micros(first), "ben")]


@pytest.mark.parametrize("of_session", [True, False])
async def test_a_late_call_missed_of_a_forgotten_round_is_known(store, post, redis_url, of_session):
    now, call = now_s(redis_url), SampleCall(members=("ben",), ring_ms=5_000)
    for number in range(30):
        post(replace(call, session_id=f"s-{number}").ring(at=now - 1_000 + 20 * number))
        await settle_call(store, "default", call.cid, GRACE_US)
    known = await store.call("HKEYS", call_key("default", call.cid))
    assert sum(field.startswith(b"r:") for field in known) == 19, "eleven are forgotten"
    before = await notices(store)
    assert len(before) == 30
    for number in range(30):
        late = replace(call, session_id=f"s-{number}" if of_session else "", missed_by={})
        post(late.missed(at=now - 1_000 + 20 * number + 6))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await notices(store) == before


async def test_a_forgotten_ring_posted_again_notifies_nobody(store, post, redis_url):
    now, call = now_s(redis_url), SampleCall(members=("ben",), ring_ms=5_000)
    rings = [call.ring(at=now - 1_000 + 20 * number) for number in range(30)]
    for ring in rings:
        post(ring)
        await settle_call(store, "default", call.cid, GRACE_US)
    before = await notices(store)
    for ring in rings:
        post(ring)
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await notices(store) == before
    outcomes = await settled(store, call)
    assert set(outcomes.values()) == {1}


async def test_stream_may_still_ask_not_to_tell_of_a_ring_that_is_over(store, post, redis_url):
    call, now = SampleCall(members=("ben",), ring_ms=5_000), now_s(redis_url)
    first, second = call.ring(at=now - 40), call.ring(at=now - 20)
    for event in (first, second):
        post(event)
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await notices(store) == [(_micros(first), "ben"), (_micros(second), "ben")]
    post(call.missed(notify_user=False, at=now - 16))
    assert not await may_go(store, second, "ben", PushKind.MISSED)


async def test_a_ring_whose_call_is_known_already_is_looked_at_at_once(store, post, redis_url):
    call, began = SampleCall(members=("ben",)), now_s(redis_url)
    post(call.rejected(call.caller, "cancel", at=began))
    post(call.ring(at=began - 1))
    assert float(await store.call("ZSCORE", AGENDA, f"default:{call.cid}")) <= now_s(redis_url) * 1000


async def test_the_watchdog_queues_a_due_call_once(store, post, redis_url):
    due, later = SampleCall(members=("ben",), ring_ms=5_000), SampleCall(members=("ben",))
    post(due.ring(at=now_s(redis_url) - 20))
    post(later.ring())
    for _ in range(3):
        await queue_due_calls(store)
    assert await jobs(store) == ["settle"]
    job_id = (await store.call("LINDEX", "rq:queue:bellhop-notices", 0)).decode()
    name, _, (payload,), _ = json.loads(await store.call("HGET", f"rq:job:{job_id}", "data"))
    assert (name, payload) == ("worker.jobs.settle", {"tenant": "default", "cid": due.cid, "v": 1})


async def test_while_nobody_settles_a_call_one_job_waits_for_it(store, post, redis_url):
    """As when workers are suspended. Each step of the watchdog here stands for ten seconds."""
    post(SampleCall(members=("ben",), ring_ms=5_000).ring(at=now_s(redis_url) - 20))
    for assumed_s in [300] * 5 + [0] * 5:
        await queue_due_calls(store, again_ms=-1, assumed_s=assumed_s)
    assert await jobs(store) == ["settle"]


@pytest.mark.parametrize(
    ("status", "again"),
    [("queued", True), ("started", False), ("finished", True), ("failed", True), ("scheduled", False), ("", True)],
)
async def test_a_lost_or_failed_settle_job_is_queued_again(store, post, redis_url, status, again):
    post(SampleCall(members=("ben",), ring_ms=5_000).ring(at=now_s(redis_url) - 20))
    await queue_due_calls(store, again_ms=-1, assumed_s=0)
    job_id = await store.call("LPOP", "rq:queue:bellhop-notices")
    await store.call("HSET", b"rq:job:" + job_id, "status", status, "lost_workers", "2", "suspicions", "2")
    await store.call("EXPIRE", b"rq:job:" + job_id, 60)
    await store.call("ZADD", "rq:failed:bellhop-notices", "9e9", job_id)
    if not status:
        await store.call("DEL", b"rq:job:" + job_id)
    await queue_due_calls(store, again_ms=-1, assumed_s=0)
    assert await jobs(store) == ["settle"] * again
    if again:  # like a new job, but for the deaths of one that failed
        assert await store.call("TTL", b"rq:job:" + job_id) == -1
        fields = await store.call("HMGET", b"rq:job:" + job_id, "status", "lost_workers", "suspicions")
        assert fields == [b"queued", b"2", b"2"] if status == "failed" else [b"queued", None, None]
        assert await store.call("ZCARD", "rq:failed:bellhop-notices") == 0


async def watch(store: Store, due: int, waiting: int = 0) -> None:
    """Put calls on the agenda that are due, and jobs into the queue that have waited for ten minutes."""
    for first in range(0, waiting, 1000):
        ids = [f"waits-{number}" for number in range(first, min(first + 1000, waiting))]
        fields = ("status", "queued", "enqueued_at", "2026-01-01T00:00:00.000000Z")
        await store.together(*(("HSET", f"rq:job:{job_id}", *fields) for job_id in ids))
        await store.call("RPUSH", "rq:queue:bellhop-notices", *ids)
    for number in range(due):
        await store.call("ZADD", AGENDA, "1", f"default:default:call-{number}")


async def calls_of(redis_client: redis.Redis, step) -> Counter[str]:
    """The commands that Redis runs meanwhile, those inside scripts included."""
    redis_client.config_resetstat()
    await step()
    return Counter({name: stats["calls"] for name, stats in redis_client.info("commandstats").items()})


async def test_a_step_does_not_search_a_long_queue(store, redis_client):
    """Jobs that wait for long are neither searched for nor queued twice."""
    await store.load_scripts()
    seen = []
    for waiting in (10, 10_000):
        redis_client.flushdb()
        await watch(store, due=50, waiting=waiting)
        await queue_due_calls(store, again_ms=-1)
        redis_client.zunionstore(AGENDA, {AGENDA: 0})  # due again
        old = {"enqueued_at": "2026-01-02T00:00:00.000000Z"}
        for job_id in redis_client.lrange("rq:queue:bellhop-notices", -50, -1):
            redis_client.hset(b"rq:job:" + job_id, mapping=old)
        seen.append(await calls_of(redis_client, partial(queue_due_calls, store)))
        assert redis_client.llen("rq:queue:bellhop-notices") == waiting + 50
    assert seen[0] == seen[1]
    assert seen[0]["cmdstat_lpos"] == 0


async def test_many_due_calls_are_queued_while_the_queue_is_short(store, redis_client):
    await watch(store, due=450)
    await queue_due_calls(store)
    first = await jobs(store)
    assert len(first) == 300, "one script more after 200"
    redis_client.delete("rq:queue:bellhop-notices")  # as if they had been taken
    await queue_due_calls(store)
    assert len(await jobs(store)) == 150
    assert redis_client.zcount(AGENDA, "-inf", 1) == 0


async def test_a_long_queue_takes_some_due_calls_all_the_same(store, redis_client):
    await watch(store, due=150, waiting=5000)
    await queue_due_calls(store)
    assert redis_client.llen("rq:queue:bellhop-notices") == 5100


async def test_a_script_of_the_watchdog_runs_few_commands(store, redis_client):
    await store.load_scripts()
    await watch(store, due=3000)
    calls = await calls_of(redis_client, partial(queue_due_calls, store))
    assert sum(calls.values()) / calls["cmdstat_evalsha"] < 1000


async def test_a_call_that_has_expired_leaves_the_agenda(store, post, redis_url):
    call = SampleCall(members=("ben",))
    post(call.ring())
    await store.call("DEL", call_key("default", call.cid))
    await settle_call(store, "default", call.cid, GRACE_US)
    assert await store.call("ZCARD", AGENDA) == 0


async def test_an_open_call_outlives_a_day_a_settled_one_expires(store, post, redis_url):
    call, began = SampleCall(members=("ben", "jane")), now_s(redis_url)
    keys = [call_key("default", call.cid), round_key("default", call.cid, _micros(call.ring(at=began)))]
    post(call.ring(at=began))
    post(call.accepted("ben"))
    assert [await store.call("TTL", key) > OPEN_TTL_S - 60 for key in keys] == [True, True]
    post(call.ended())
    await settle_call(store, "default", call.cid, GRACE_US)
    assert [0 < await store.call("TTL", key) <= CALL_TTL_S for key in keys] == [True, True]
    post(call.session_ended())
    assert 0 < await store.call("TTL", keys[0]) <= CALL_TTL_S


async def test_a_round_that_expires_in_settling_stays_away(store, post, redis_url):
    call, now = SampleCall(members=("ben",), ring_ms=5_000), now_s(redis_url)
    old, new = call.ring(at=now - 60), call.ring(at=now)  # the second keeps the call open
    for event in (old, new):
        post(event)

    class Expires:
        together, partitions = store.together, store.partitions

        async def script(self, name, keys, args):
            if name == "calls/settle_call":
                await store.call("DEL", round_key("default", call.cid, _micros(old)))
            return await store.script(name, keys, args)

    await settle_call(Expires(), "default", call.cid, GRACE_US)
    assert await store.call("EXISTS", round_key("default", call.cid, _micros(old))) == 0
    assert await notices(store) == []


async def test_everything_an_event_leaves_in_redis_expires(store, post, samples: Path):
    for sample in sorted(samples.glob("call.*.json")):
        post(json.loads(sample.read_bytes()))
    cid = json.loads((samples / "call.ring.json").read_bytes())["call_cid"]
    await settle_call(store, "default", cid, GRACE_US)
    lasting = {key.decode() for key in await store.call("KEYS", "*") if await store.call("TTL", key) < 0}
    queues = {"rq:queues", "rq:queue:bellhop-rings", "rq:queue:bellhop-notices", AGENDA}
    # A queued job has no expiry in RQ: it leaves when it has been run.
    assert {key for key in lasting if not key.startswith("rq:job:")} <= queues


def _micros(event) -> int:
    return parse(json.dumps(event).encode()).at or 0


async def test_the_agendas_of_all_partitions_are_looked_at(store, redis_client, monkeypatch):
    among = in_partitions(monkeypatch, 3)
    for number, partition in enumerate(among):
        redis_client.zadd(partition.key(AGENDA), {f"default:default:{number}": 1})
    await queue_due_calls(store, among=among)
    for partition in among:
        (job_id,) = redis_client.lrange(partition.key(rq_queue_key(NOTICES)), 0, -1)
        assert redis_client.hget(partition.key(rq_job_key(job_id.decode())), "status") == b"queued"
        assert redis_client.smembers(partition.key(RQ_QUEUES)) == {partition.key(rq_queue_key(NOTICES)).encode()}
    assert not redis_client.exists(RQ_QUEUES, AGENDA)
    state = read_installation_state(redis_client)
    assert state.jobs[NOTICES, "queued"] == 3


async def test_a_missed_call_stays_unseen_if_two_settle_it(store, post, redis_url):
    """One worker is about to record what another has recorded already, when one more event comes."""
    call = SampleCall(members=("ben",), ring_ms=5_000)
    post(call.ring(at=now_s(redis_url) - 20))
    settle = partial(settle_call, store, "default", call.cid, GRACE_US, missed_kept_s=60)

    class IsOvertaken:
        together, call, partitions = store.together, store.call, store.partitions
        before = False

        async def script(self, name, keys, args):
            if name == "calls/settle_call" and not self.before:
                self.before = True
                await settle()
                post(call.ended())
            return await store.script(name, keys, args)

    await settle_call(IsOvertaken(), "default", call.cid, GRACE_US, missed_kept_s=60)
    assert await store.call(*count_unseen("default", "ben")) == 1
