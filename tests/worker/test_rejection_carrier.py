"""Stream is told of a rejection once, in the ring's time, and never after an answer of the user."""

import asyncio
import json
import time
from itertools import permutations

import aiohttp
import pytest
import pytest_asyncio

from bellhop.clock import micros
from bellhop.queue.job_payloads import RejectRef
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.store.call_scripts import EventToTake, claim_reject, take_event
from bellhop.store.keys import round_key
from bellhop.store.redis_clock import RedisClock
from bellhop.stream_api import StreamApi
from bellhop.trail import RejectionCarried
from tests.factories import a_queued_round
from tests.trails import trail_of
from worker.rejection_carrier import RejectionCarrier

SECRET = "a-secret-that-pyjwt-finds-long-enough"
STAMPS = {"accept": ["a:ben"], "decline": ["d:ben", "x:ben"], "end": ["ended"]}


@pytest_asyncio.fixture
async def stream():
    async with StreamApiStandIn("key", SECRET) as stream:
        yield stream


class World:
    """A call in Redis, and workers that carry the rejection of one of its users."""

    def __init__(self, store, session, stream):
        self.store, self.stream = store, stream
        self.round = a_queued_round()
        self.apis = {"default": StreamApi(session, stream.url, "key", SECRET)}

    async def take(self, webhook, *stamps, round_=None):
        now, cid = micros(time.time()), self.round.cid
        event = EventToTake(
            *("default", cid, f"{webhook} {cid}", now, "a line", "", 60, now), stamps=stamps, round=round_
        )
        await self.store.script(*take_event(event))

    async def begin(self, **changes):
        self.round = self.round.model_copy(update=changes)
        await self.take(f"ring {self.round.started_at}", round_=self.round)
        return self

    async def carry(self, worker="w-1", webhook="report-1", **changes):
        fields = {name: getattr(self.round, name) for name in ("tenant", "cid", "started_at", "deadline")}
        ref = RejectRef(**fields | {"user": "ben", "reason": "decline", "webhook": webhook} | changes)
        carrier = RejectionCarrier(self.store, self.apis, worker, RedisClock())
        for command in await carrier.reject(json.loads(ref.as_json())):
            await self.store.script(*command)

    async def lines(self):
        trail = await trail_of(self.store, self.round.cid)
        return [line for line in trail if isinstance(line, RejectionCarried)]

    async def outcomes(self):
        return [(line.outcome, line.reason, line.times) for line in await self.lines()]

    def sent(self):
        return [(one.user, one.status) for one in self.stream.rejects]


@pytest_asyncio.fixture
async def world(store, stream, monkeypatch):
    monkeypatch.setattr("worker.rejection_carrier.REQUEST_S", 20.0)  # for a busy machine
    monkeypatch.setattr("worker.rejection_carrier.CLAIM_S", 25.0)
    async with aiohttp.ClientSession() as session:
        yield await World(store, session, stream).begin()


async def test_many_jobs_for_one_user_send_one_request(world):
    await asyncio.gather(*(world.carry(f"w-{number}", f"report-{number}") for number in range(10)))
    assert world.sent() == [("ben", 200)]
    assert await world.outcomes() == [("told", "", None)]
    [line] = await world.lines()
    assert line.ms > 0


async def test_it_is_sent_again_if_stream_fails(world):
    world.stream.reject_statuses = [500, 503]
    await world.carry()
    assert world.sent() == [("ben", 500), ("ben", 503), ("ben", 200)]
    assert await world.outcomes() == [("told", "", 3)]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_what_stream_refuses_is_not_sent_again(world, status):
    world.stream.reject_statuses = [status]
    await world.carry()
    assert world.sent() == [("ben", status)]
    assert await world.outcomes() == [("refused", f"status {status}", None)]


async def test_nothing_is_sent_after_the_rings_end(world):
    await world.begin(started_at=world.round.started_at - 40_000_000, deadline=world.round.started_at - 10_000_000)
    await world.carry()
    assert world.sent() == []
    assert await world.outcomes() == [("too_late", "", None)]


async def test_the_last_failure_is_on_the_trail(world):
    world.stream.reject_statuses = [500] * 50
    await world.begin(cid="default:2", deadline=micros(time.time() + 2.5))
    await world.carry()
    [(outcome, reason, times)] = await world.outcomes()
    assert (outcome, reason, times or 1) == ("too_late", "status 500", len(world.sent()))


async def test_a_long_pause_that_stream_asks_for_ends_with_the_ring(world):
    world.stream.reject_statuses = [429] * 50
    await world.begin(cid="default:2", deadline=micros(time.time() + 2.5))
    await world.carry()  # Stream's limits are counted by the minute
    assert await world.outcomes() == [("too_late", "too many requests", None)]


async def test_another_job_waits_for_the_pause_that_stream_asks_for(world, monkeypatch):
    monkeypatch.setattr("worker.rejection_carrier.CLAIM_S", 2.5)
    world.stream.reject_statuses = [429]
    await world.begin(cid="default:2", deadline=micros(time.time() + 5))
    await asyncio.gather(world.carry(), world.carry("w-2", "report-2"))
    assert world.sent() == [("ben", 429)]
    assert {outcome for outcome, _, _ in await world.outcomes()} == {"too_late"}, "no worker is said to have died"


async def test_a_job_of_an_app_that_is_not_configured_ends(world):
    world.apis = {}
    await world.carry()
    assert await world.outcomes() == [("refused", "this Stream app is not configured", None)]


async def test_a_forgotten_round_leaves_nothing(world):
    await world.store.call("DEL", round_key("default", world.round.cid, world.round.started_at))
    await world.carry()
    assert (world.sent(), await world.outcomes()) == ([], [])
    assert not await world.store.call("EXISTS", round_key("default", world.round.cid, world.round.started_at))


async def test_the_claim_of_a_dead_worker_is_taken_over_and_said(world):
    dead = claim_reject(
        *("default", world.round.cid, world.round.started_at, "ben"),
        worker="dead", run="r", now=micros(time.time()), claim_us=300_000,
    )  # fmt: skip
    assert await world.store.script(*dead) == b"go"
    assert await world.store.script(*dead) == b"go"  # the same run may ask again, as its answer may be lost
    await world.carry()
    assert await world.outcomes() == [("again", "", None), ("told", "", None)]


async def test_in_no_order_is_stream_told_after_an_end(world):
    """An answer of the user, and an end before the decline, end the ring: Stream is told of neither."""
    for order in permutations(["accept", "decline", "end", "carry"]):
        await world.begin(cid=f"default:{'-'.join(order)}", deadline=micros(time.time() + 600))
        for step in order:
            now = micros(time.time())
            if step == "carry":
                await world.carry()
            else:
                await world.take(step, *((name, now) for name in STAMPS[step]))
        before = order[: order.index("carry")]
        ended = "end" in before and "decline" not in before[: before.index("end")]
        expected = ("over", "answered") if "accept" in before else ("over", "ended") if ended else ("told", "")
        assert [outcome[:2] for outcome in await world.outcomes()] == [expected], order
        told = [one for one in world.stream.rejects if one.cid == world.round.cid]
        assert len(told) == (expected[0] == "told"), order


async def test_a_later_ring_of_the_call_is_not_rejected(world):
    later = world.round.model_copy(update={"started_at": world.round.started_at + 1})
    await world.take("later", round_=later)
    await world.carry()
    assert (world.sent(), await world.outcomes()) == ([], [("over", "rung_again", None)])
