"""How many Redis commands a call takes, as Redis counts them: an event costs what it changes, not what is stored."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import redis

from bellhop.audience import Audience, Destination
from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.push import PushKind
from bellhop.domain.round import Round
from bellhop.queue.names import TELL_CALLER_JOB
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import run_script
from bellhop.store.redis_clock import RedisClock
from bellhop.store.steps import run_steps
from tests.factories import a_device, a_push
from tests.trails import trail_of
from webhook.intake.apply import apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse
from worker.delivery.fence import Fence, Record
from worker.settle import settle_call

RULES = EffectRules("default", 30, 5)
GRACE_US = Micros(5_000_000)
Post = Callable[[Event], Round | None]


@pytest.fixture
def post(redis_client: redis.Redis) -> Post:
    """Take an event in, as the web process does; returns the round that it opens."""
    script, numbers = partial(run_script, redis_client), iter(range(10**6))

    def post(event: Event) -> Round | None:
        value = parse(json.dumps(event).encode())
        assert value.at is not None
        applied = effects(value, value.at, RULES)
        apply(script, "default", f"{next(numbers)}", value, applied, value.at)
        return applied.round

    return post


@pytest.fixture
async def count(store: Store, redis_client: redis.Redis) -> Callable[[], int]:
    """Return how many commands Redis ran since the last call, those inside scripts included."""
    await store.load_scripts()

    def count() -> int:
        ran = redis_client.info("commandstats")
        redis_client.config_resetstat()
        return sum(stats["calls"] for name, stats in ran.items() if "config" not in name and "info" not in name)

    count()
    return count


async def test_a_ring_takes_few_commands_besides_its_job(store, post, count, live_workers):
    phone = a_device("ben")
    await run_steps(registry.register("default", phone), store)
    count()
    round_ = post(SampleCall(members=("ben",)).ring())
    assert count() <= 13, "take_event"
    await registry.read_users(store, "default", ["ben"], "sara")
    assert count() <= 2, "the users"
    clock = RedisClock()
    clock.note_ahead_of_stream("default", None, 0)
    fence = Fence(store, "w-1", PushKind.RING, round_, "picked up", clock=clock)
    assert (await fence.admit(a_push(phone), 3)).refusal is None
    assert count() <= 7, "the owner of the token, and claim_devices"
    await fence.write(Record("sent", phone.key, True))
    assert count() <= 4, "record_attempt"


async def test_what_is_announced_takes_few_commands_and_a_repeat_one(store, post, count, live_workers):
    round_ = post(SampleCall(members=("ben",)).ring())
    everybody = Destination("backend", TELL_CALLER_JOB, 60, frozenset(AnnouncementType))
    fence = Fence(store, "w-1", PushKind.RING, round_, audience=Audience((everybody,)))
    reached = about_ring(AnnouncementType.REACHED, round_, "ben", round_.started_at)
    count()
    await fence.write(Record("", announcement=reached))
    assert count() <= 12, "announce"
    await fence.write(Record("", announcement=reached))
    assert count() <= 2, "announce, again"


@pytest.mark.parametrize("answer", ["accepted", "rejected"])
async def test_an_answer_costs_the_same_among_many_members(store, post, count, answer):
    """Stream names all who have answered before in each event."""
    costs = []
    for size in (10, 60):
        call = SampleCall(members=tuple(f"user-{number}" for number in range(size)))
        post(call.ring())
        for number in range(size - 1):
            count()
            post(getattr(call, answer)(f"user-{number}"))
            await settle_call(store, "default", call.cid, GRACE_US)
        costs.append(count())
    assert costs[1] <= costs[0], costs


@pytest.mark.parametrize("sessions", ["one session", "a session for each ring"])
async def test_closed_rounds_cost_later_events_nothing(store, post, count, sessions, redis_url):
    """A lobby that rings every 20 seconds: ben declines, jane misses the call."""
    costs = []
    for rings in (40, 100):
        lobby = SampleCall(members=("ben", "jane"), ring_ms=10_000)
        for number in range(rings):
            count()
            began_s = time.time() - 20 * (rings - number)
            call = lobby if sessions == "one session" else replace(lobby, session_id=f"session-{number}")
            post(call.ring(at=began_s))
            post(call.rejected("ben", at=began_s + 3))
            post(call.missed("jane", at=began_s + 10))
            await settle_call(store, "default", lobby.cid, GRACE_US)
            costs.append(count())
        outcomes = Counter(line.outcome for line in await trail_of(store, lobby.cid) if line.what == "settled")
        assert outcomes == {"declined": rings, "missed": rings}
    assert max(costs[-30:]) <= max(costs[10:40]), costs
