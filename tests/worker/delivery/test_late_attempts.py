"""Before a late attempt Stream is asked, whatever the attempt waited for: a cancel whose webhook was lost stops it."""

import asyncio
import json
import time
from functools import partial

import aiohttp
import pytest
import pytest_asyncio

from bellhop.clock import micros
from bellhop.domain.call import Stamp
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import Cause, queued_round
from bellhop.ring_question import QuestionLimits, StreamQuestions
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from bellhop.store.keys import call_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.steps import run_steps
from bellhop.stream_api import StreamApi
from bellhop.trail import StreamAsked
from tests.factories import a_device
from tests.trails import trail_of
from tests.waiting import come_true
from tests.worker import test_settle
from tests.worker.test_settle import RULES, now_s
from webhook.intake.effects import effects
from webhook.intake.parsing import parse
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.delivery.fence import Fence, Record
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.token_pruning import TokenPruner
from worker.stream_state import StreamState

KEY, SECRET = "key", "secret"
post = test_settle.post
AGE_S = 4.5
"""How long ago the ring began. Half a second later, its attempt is late."""
LONG_S = 60.0


class Google:
    """A provider that accepts everything."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, push, timeout_s, start_s):
        self.sent += 1
        return AttemptResult(Outcome.ACCEPTED)

    async def prepare(self, environment, within_s): ...

    async def close(self): ...


class SlowLookup:
    """Finds the user's device after `wait`, as Stream does if it is busy."""

    def __init__(self, store, device) -> None:
        self.store, self.device = store, device

    async def devices_of(self, tenant, user_id, within_s):
        await self.wait()
        await run_steps(registry.register(tenant, self.device), self.store)
        return [self.device]


@pytest_asyncio.fixture
async def late(store, post, redis_url):
    """A ring, the tools to send it with, and what Stream is asked."""
    async with StreamApiStandIn(KEY, SECRET) as stream, aiohttp.ClientSession() as session:
        call = SampleCall(members=("ben",))
        stream.add_call(call)
        ring = call.ring(at=now_s(redis_url) - AGE_S)
        post(ring)
        event = parse(json.dumps(ring).encode())
        apps, limits = {"default": StreamApi(session, stream.url, KEY, SECRET)}, QuestionLimits(answer_s=LONG_S)
        questions = StreamQuestions(store, apps, 100, limits=limits)
        google, phone = Google(), a_device("ben")
        channel = ProviderChannel(google, "fcm", 1)
        tools = DeliveryTools(
            store,
            "w-1",
            {(Provider.FCM, phone.app): channel},
            TokenPruner(store),
            SlowLookup(store, phone),
            StreamState(questions),
        )
        yield Late(call, queued_round(effects(event, event.at, RULES).round, Cause()), phone, tools, google, stream)
        asking = [*tools.stream_state._asking.values()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


class Late:
    def __init__(self, call, round_, phone, tools, google, stream) -> None:
        self.call, self.round, self.phone, self.tools = call, round_, phone, tools
        self.google, self.stream, self.store = google, stream, tools.store

    async def prepare(self, what: str, wait) -> None:
        """Let the attempt wait for this. `wait` returns when it has waited long enough."""
        for worker in ("w-1", "w-2"):
            await self.store.call("SET", f"bellhop:worker:{worker}", 1)
        if what == "look-up":
            self.tools.device_lookup.wait = wait
        else:
            await run_steps(registry.register("default", self.phone), self.store)
            end = await (self.take_the_claim() if what == "claim" else self.take_the_place())
            self.ending = asyncio.create_task(after(wait, end))

    async def take_the_claim(self):
        (push,) = plan(PushKind.RING, self.round, {"ben": [self.phone]}, self.round.started_at).pushes
        other = Fence(self.store, "w-2", PushKind.RING, self.round)
        assert (await other.admit(push, LONG_S)).refusal is None
        return partial(other.write, Record("", push.device.key))

    async def take_the_place(self):
        (channel,) = self.tools.channels.values()
        taken = channel.capacity.hold(PushKind.RING)
        await taken.__aenter__()
        return partial(taken.__aexit__, None, None, None)

    async def knows_of_the_cancel(self) -> None:
        """Wait until Redis has it."""
        cancel = ("HGET", call_key("default", self.call.cid), Stamp.REJECTED + self.call.caller)
        while not await self.store.call(*cancel):
            await asyncio.sleep(0.02)

    async def ring(self) -> Outcome:
        (result,) = await FanOut(self.tools, PushKind.RING, self.round).run()
        return result.outcome


async def after(wait, end) -> None:
    await wait()
    await end()


def begin_wait(state, round_, job_began_s):
    return state.before_attempt(round_, 0.0, state.late_at_s(round_, job_began_s))


@pytest.mark.parametrize("wait", ["look-up", "claim", "place"])
async def test_a_lost_cancel_stops_a_late_attempt(late, wait):
    await late.prepare(wait, late.knows_of_the_cancel)
    late.call.rejected(late.call.caller, "cancel")
    began = time.monotonic()
    assert (await late.ring(), late.google.sent) == (Outcome.CANCELLED, 0)
    assert 1 <= len(late.stream.questions) <= 2 + time.monotonic() - began, "at most one in a second"


async def test_clocks_that_differ_make_no_attempt_seem_early(late):
    """Stream's clock is a minute ahead of ours."""
    ahead = {"started_at": late.round.started_at + 60_000_000, "queued_at": late.round.started_at - 2_000_000}
    begin_wait(late.tools.stream_state, late.round.model_copy(update=ahead), time.monotonic())
    await come_true(lambda: late.stream.questions, 20)


@pytest.mark.parametrize("differs", ["the worker's clock", "Stream's clock"])
async def test_clocks_that_differ_make_no_attempt_seem_late(late, monkeypatch, redis_url, differs):
    """The ring has just begun, and a clock is ten minutes from Redis's."""
    clock, began = RedisClock(), round(now_s(redis_url) * 1e6)
    clock.note(time.monotonic(), time.monotonic(), began)
    started_at = began
    if differs == "Stream's clock":
        started_at -= 600_000_000
    else:
        now_ns = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + 600 * 10**9)
    state = StreamState(late.tools.stream_state._questions, clock=clock)
    changes = {"started_at": started_at, "queued_at": began}
    end_wait = begin_wait(state, late.round.model_copy(update=changes), time.monotonic())
    await asyncio.sleep(0.5)
    end_wait()
    assert late.stream.questions == []


async def test_a_slow_clock_of_the_worker_makes_none_seem_early(late, monkeypatch):
    """A job that has run for longer than that is about a ring that began earlier still."""
    now_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 60 * 10**9)
    begin_wait(late.tools.stream_state, late.round, time.monotonic() - 6)
    await come_true(lambda: late.stream.questions, 20)


async def test_the_wait_that_is_late_first_is_asked_about(late):
    state, now_s = late.tools.stream_state, time.monotonic()
    soon = late.round.model_copy(update={"started_at": micros(time.time() - 3), "queued_at": 0})
    begin_wait(state, soon.model_copy(update={"started_at": soon.started_at + 60_000_000}), now_s)
    begin_wait(state, soon, now_s)
    end_wait = begin_wait(state, soon.model_copy(update={"cid": "default:over"}), now_s)
    end_wait()
    await come_true(lambda: late.stream.questions, 20)
    assert {question.cid for question in late.stream.questions} == {late.round.cid}


@pytest.mark.parametrize("wait", ["look-up", "claim", "place"])
async def test_a_late_attempt_does_not_wait_for_the_answer(late, wait):
    late.stream.question_pause_s = 3
    await late.prepare(wait, partial(come_true, lambda: late.stream.questions))
    assert (await late.ring(), late.google.sent) == (Outcome.ACCEPTED, 1)
    assert not [line for line in await trail_of(late.store, late.call.cid) if isinstance(line, StreamAsked)]


@pytest.mark.parametrize("wait", ["look-up", "claim", "place"])
async def test_no_question_before_an_attempt_that_is_early(late, wait):
    late.round = late.round.model_copy(update={"started_at": late.round.started_at + 60_000_000})
    await late.prepare(wait, partial(asyncio.sleep, 2))
    assert await late.ring() is Outcome.ACCEPTED
    assert late.stream.questions == []
