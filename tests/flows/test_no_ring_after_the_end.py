"""A ring that is not yet on the wire when its round ends never gets there, and the trail says so."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field

import pytest

from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.installation import Installation, Kind, Provider
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.trail import PushMilestone
from tests.trails import trail_of
from worker.providers.fcm.fcm_sender import DEFAULT_POLICY

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"
QUEUED = 1_000


async def test_a_cancel_that_arrives_before_its_ring(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call, now = flow.call(ben, jane), time.time() - 3
    await flow.post(call.rejected(call.caller, "cancel", at=now + 1), call.ring(at=now))
    assert await flow.outcomes(call) == {"ben": ["cancelled"], "jane": ["cancelled"]}
    assert await flow.drops(call, ben) == await flow.drops(call, jane) == ["cancelled"]
    assert flow.seen(ben) == flow.seen(jane) == [MISSED]


async def test_a_cancel_between_two_attempts_of_one_push(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    flow.installation.apple.script(ben.tokens[0], *[AppleReply(503, "ServiceUnavailable", retry_after="1")] * 20)
    await flow.post(call.ring())
    await flow.attempted(ben)
    await flow.post(call.rejected(call.caller, "cancel"))
    assert await flow.outcomes(call) == {"ben": ["cancelled"]}
    assert await flow.drops(call, ben) == ["cancelled"]
    assert flow.seen(ben) == [MISSED]


@dataclass(frozen=True)
class Held(GoogleReply):
    """The usual answer, not before the event is set."""

    until: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, request, stopping):
        await self.until.wait()


async def test_pushes_wait_for_a_google_connection_before_the_fence(flow):
    crowd = [await flow.android(f"user-{number}") for number in range(DEFAULT_POLICY.connections + 20)]
    google = flow.installation.google
    held = Held()
    for phone in crowd:
        google.script(phone.tokens[0], held)
    call = flow.call(*crowd)
    await flow.post(call.ring())
    await flow.until(lambda: any(google.requests[phone.tokens[0]] for phone in crowd), "a first attempt")
    await flow.post(call.rejected(call.caller, "cancel"))
    held.until.set()
    await flow.outcomes(call)
    assert sum(flow.seen(phone).count(RING) for phone in crowd) <= DEFAULT_POLICY.connections


async def test_an_answer_that_only_a_later_event_tells_of(flow):
    ben = await flow.android("ben")
    call, now = flow.call(ben), time.time() - 3
    call.accepted(ben.user, at=now)
    await flow.post(call.session_ended(at=now + 1), call.ring(at=now - 1))
    assert await flow.outcomes(call) == {"ben": ["answered"]}
    assert flow.seen(ben) == []


async def test_a_ring_that_comes_too_late_is_a_missed_call(flow):
    ben = await flow.android("ben")
    call = flow.call(ben, ring_ms=5_000)
    await flow.post(call.ring(at=time.time() - 60))
    assert await flow.outcomes(call) == {"ben": ["no_answer"]}
    assert await flow.drops(call, ben) == ["too_late"]
    assert flow.seen(ben) == [MISSED]


async def test_a_call_missed_before_its_ring_gives_one_notice(flow):
    ben = await flow.android("ben")
    call, now = flow.call(ben), time.time() - 3
    await flow.post(call.missed(at=now + 1), call.ring(at=now), call.missed(at=now + 2))
    assert await flow.outcomes(call) == {"ben": ["missed", "missed"]}
    await flow.until(lambda: flow.seen(ben) == [MISSED], "one notice")


async def test_the_notice_of_one_round_never_ends_the_ring_of_the_next(flow):
    ben = await flow.android("ben")
    call, now = flow.call(ben), time.time()
    await flow.post(call.ring(at=now - 1))
    await flow.rings(ben)
    await flow.post(call.ring(at=now))
    await flow.rings(ben, times=2)
    await flow.post(call.rejected(ben.user, "busy", at=now - 0.5))
    await flow.idle()
    assert MISSED not in flow.seen(ben)
    await flow.post(call.ended())
    assert await flow.outcomes(call) == {"ben": ["busy", "ended"]}
    assert flow.seen(ben) == [RING, RING, MISSED]


@pytest.mark.timeout(180)
async def test_a_cancel_while_a_thousand_rings_are_queued(tmp_path):
    async with Installation(tmp_path, {"RINGS_PER_CALLEE": str(QUEUED)}) as installation:
        installation.stop("worker-1")
        token = secrets.token_hex(16)
        await installation.register("ben", Provider.FCM, Kind.ALERT, token)
        calls = [SampleCall("sara", ("ben",), ring_ms=180_000) for _ in range(QUEUED)]
        for start in range(0, QUEUED, 50):
            replies = await asyncio.gather(
                *(installation.stream.post(call.ring()) for call in calls[start : start + 50])
            )
            assert {reply.status for reply in replies} == {200}
        cancelled = calls[QUEUED // 2]
        await installation.stream.post(cancelled.rejected("sara", "cancel"))
        installation.start("worker", "worker-1")

        def rung():
            data = [one.message["data"] for one in installation.google.received]
            return {one["call_cid"] for one in data if one["type"] == RING}

        async with asyncio.timeout(150):
            while len(rung()) < QUEUED - 1 or not (ends := await ends_of_ring(installation, cancelled)):
                await asyncio.sleep(0.1)
        assert rung() == {call.cid for call in calls} - {cancelled.cid}
        assert ends == ["cancelled"]


async def ends_of_ring(installation, call):
    lines = await trail_of(installation.store, call.cid)
    return [line.outcome for line in lines if isinstance(line, PushMilestone) and line.kind == "ring"]
