"""Any subset of a call's webhooks may be lost, and the others come in any order: Stream knows the truth.

Everything happened a minute ago, so no example waits. EXAMPLES sets the number of examples.
"""

import asyncio
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from bellhop.domain.call_snapshot import read_call, read_ring_state
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.queue.job_payloads import Cause, queued_round
from bellhop.ring_question import AskedRing, QuestionLimits, StreamQuestions
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import run_script
from bellhop.store.steps import run_steps
from tests.factories import a_device
from tests.worker.test_settle import GRACE_US, RULES, notices
from webhook.intake.apply import apply
from webhook.intake.effects import effects
from webhook.intake.parsing import parse
from worker.delivery.fence import Fence
from worker.derived_notices import DerivedNotices
from worker.settle import settle_call
from worker.stream_state import StreamState

EXAMPLES = int(os.environ.get("EXAMPLES", "500"))
pytestmark = pytest.mark.timeout(120 + EXAMPLES)
USERS = ("ben", "jane", "lee")
BEGAN_AGO_S, RING_S = 60, 5
ANSWERS, DECLINES, BUSY = FATES_OF_PEOPLE = ("answers", "declines", "busy")
TIMES_OUT, NOTHING, PHONE_REJECTS = FATES_OF_PHONES = ("times_out", "nothing", "phone_rejects")


@dataclass(frozen=True)
class Story:
    """What happened in a call, and which of its webhooks come, in which order."""

    fates: dict[str, str]
    cancelled: bool
    ended: bool
    missed_sent: bool
    """Whether Stream found out that users missed the call, and sent call.missed."""
    lost: tuple[bool, ...]
    order: tuple[int, ...]
    whole_call: bool
    """Whether Stream answers with the whole call, and not with the state of the ring."""

    def missed_for_sure(self) -> set[str]:
        """The users who did not answer, did not decline, and were free."""
        missed = {TIMES_OUT, NOTHING} | ({PHONE_REJECTS} if self.cancelled else set())
        return {user for user, fate in self.fates.items() if fate in missed}


@st.composite
def stories(draw):
    users = USERS[: draw(st.integers(1, 3))]
    fates = {user: draw(st.sampled_from(FATES_OF_PEOPLE + FATES_OF_PHONES)) for user in users}
    lost = tuple(draw(st.lists(st.booleans(), min_size=8, max_size=8)))
    order = tuple(draw(st.permutations(range(8))))
    return Story(fates, *(draw(st.booleans()) for _ in range(3)), lost, order, draw(st.booleans()))


def play(story: Story, call: SampleCall, began_s: float) -> list[Event]:
    """Let the story happen at Stream; returns the webhooks that come, in their order."""
    events = []
    for number, (user, fate) in enumerate(story.fates.items()):
        at = began_s + 1 + number / 10
        match fate:
            case "answers":
                events.append(call.accepted(user, at=at))
            case "declines" | "busy":
                events.append(call.rejected(user, "busy" if fate == BUSY else "decline", at=at))
    if story.cancelled:
        events.append(call.rejected(call.caller, "cancel", at=began_s + 3))
        phones = [user for user, fate in story.fates.items() if fate == PHONE_REJECTS]
        events += [call.rejected(user, "decline", at=began_s + 3.3) for user in phones]
    else:
        late = [user for user, fate in story.fates.items() if fate == TIMES_OUT]
        events += [call.rejected(user, "timeout", at=began_s + RING_S) for user in late]
    missed = [user for user, fate in story.fates.items() if fate in (NOTHING, TIMES_OUT)]
    if story.missed_sent and missed:
        at = began_s + (3.1 if story.cancelled else RING_S + 0.1)
        event = call.missed(*missed, at=at)
        call.missed_by |= dict.fromkeys(missed, event["created_at"])
        events.append(event)
    if story.ended:
        events.append(call.ended(at=began_s + RING_S + 1))
    coming = [event for event, lost in zip(events, story.lost, strict=False) if not lost]
    return [coming[number] for number in story.order if number < len(coming)]


class Stream:
    """Knows the truth about every call."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[SampleCall, bool]] = {}
        self.requests = 0

    def now(self):
        return None

    async def ring_state(self, ring, permit):
        await permit()
        self.requests += 1
        call, whole_call = self.calls[ring.cid]
        return read_call(call.as_answer()) if whole_call else read_ring_state(call.ring_state())


class Bellhop:
    """A real Redis, the intake, and a worker's settling and fence."""

    def __init__(self, url: str, per_s: float) -> None:
        # A busy machine may need long.
        self.redis, self.store = redis.Redis.from_url(url), Store.from_url(url, timeout_s=20.0)
        self.stream, patient = Stream(), QuestionLimits(answer_s=20.0)
        self.questions = StreamQuestions(self.store, {"default": self.stream}, per_s, limits=patient)
        self.derived = DerivedNotices(self.store, StreamState(self.questions))
        self.taken = 0

    def now_us(self) -> int:
        seconds, micros = self.redis.time()
        return seconds * 1_000_000 + micros

    def take(self, *events: Event):
        """Take webhooks in; returns the round that the last of them opens."""
        for event in events:
            self.taken += 1
            now, value = self.now_us(), parse(json.dumps(event).encode())
            found = effects(value, now, RULES)
            apply(partial(run_script, self.redis), "default", f"{self.taken}", value, found, now)
        return found.round if events else None

    async def may_ring(self, round_, user: str) -> bool:
        """Whether the fence lets a ring go out, if the round's time were not over."""
        phone = a_device(user)
        await run_steps(registry.register("default", phone), self.store)
        long = round_.model_copy(update={"deadline": self.now_us() + 60_000_000})
        (push,) = plan(PushKind.RING, long, {user: [phone]}, long.started_at).pushes[:1]
        return (await Fence(self.store, "w-1", PushKind.RING, long).admit(push, 3)).refusal is None

    async def settle(self, call: SampleCall) -> None:
        await asyncio.gather(*(settle_call(self.store, "default", call.cid, GRACE_US, self.derived) for _ in range(2)))

    async def close(self) -> None:
        self.redis.close()
        await self.store.close()


async def check(story: Story, bellhop: Bellhop) -> None:
    began_s = bellhop.now_us() / 1e6 - BEGAN_AGO_S
    call = SampleCall(members=tuple(story.fates), ring_ms=RING_S * 1000)
    bellhop.stream.calls[call.cid] = (call, story.whole_call)
    ring = bellhop.take(call.ring(at=began_s))
    events = play(story, call, began_s)
    half = len(events) // 2
    bellhop.take(*events[:half])
    asked = await bellhop.questions.ask(AskedRing.of(queued_round(ring, Cause())), PushKind.RING)
    if asked.outcome == "answered" and (story.cancelled or story.ended):
        assert not [user for user in story.fates if await bellhop.may_ring(ring, user)]
    before = bellhop.stream.requests
    await bellhop.settle(call)
    informed = asked.outcome == "answered" or bellhop.stream.requests > before
    bellhop.take(*events[half:])
    await bellhop.settle(call)
    told = Counter(user for _, user in await notices(bellhop.store))
    assert set(told.values()) <= {1}
    missed = story.missed_for_sure()
    if informed:
        assert not {user for user, fate in story.fates.items() if fate in (ANSWERS, DECLINES)} & told.keys()
        assert missed <= told.keys()


@settings(max_examples=EXAMPLES)
@given(story=stories())
def test_stream_knows_what_lost_webhooks_said(redis_server, story):
    async def example() -> None:
        bellhop = Bellhop(redis_server.url, per_s=1_000)
        bellhop.redis.flushall()
        bellhop.redis.set("bellhop:worker:w-1", 1)
        try:
            await check(story, bellhop)
        finally:
            await bellhop.close()

    asyncio.run(example())


@settings(max_examples=max(10, EXAMPLES // 10))
@given(several=st.lists(stories(), min_size=2, max_size=8), per_s=st.sampled_from([0.5, 2, 5]))
def test_the_budget_holds_for_any_calls(redis_server, several, per_s):
    async def example() -> None:
        bellhop = Bellhop(redis_server.url, per_s)
        bellhop.redis.flushall()
        began_s = time.monotonic()
        try:
            for story in several:
                call = SampleCall(members=tuple(story.fates), ring_ms=RING_S * 1000)
                bellhop.stream.calls[call.cid] = (call, story.whole_call)
                began = bellhop.now_us() / 1e6 - BEGAN_AGO_S
                bellhop.take(call.ring(at=began), *play(story, call, began))
                await bellhop.settle(call)
            allowed = max(1, per_s) + per_s * (time.monotonic() - began_s)
            assert bellhop.stream.requests <= allowed
        finally:
            await bellhop.close()

    asyncio.run(example())
