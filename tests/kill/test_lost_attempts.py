"""A worker killed between a provider's answer and its record: what the trail says of this attempt."""

import asyncio
import signal

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.explain.explanation import explain
from bellhop.explain.verdict import UserVerdict
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store import registry
from bellhop.store.steps import run_steps
from tests.trails import trail_of

ANSWER_S = 30
"""Apple's answer takes so long that no worker records it."""


class Flow:
    """Jane's iPhone, and a call to her whose ring was sent by a worker that died at once."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.call = installation, SampleCall("sara", ("jane",), ring_ms=120_000)

    async def begin(self) -> None:
        installation = self.installation
        self.phone = await installation.register("jane", Provider.APNS, Kind.VOIP, "ab" * 32, name="Jane's iPhone")
        installation.apple.answer_delay_s = ANSWER_S
        await self.post(self.call.ring())
        await self.rings(1)
        installation.stop("worker-1", signal.SIGKILL)
        installation.apple.answer_delay_s = 0

    async def post(self, event: Event) -> None:
        assert (await self.installation.stream.post(event)).status == 200

    async def answer(self) -> None:
        """Answer the call, and end it: its outcomes are final then, although the time to ring goes on."""
        await self.post(self.call.accepted("jane"))
        await self.post(self.call.ended())

    async def rings(self, times: int) -> None:
        async with asyncio.timeout(60):
            while len(self.rung) < times:
                await asyncio.sleep(0.02)

    @property
    def rung(self) -> list[str]:
        return [push.token for push in self.installation.arrivals if push.type == "call.ring"]

    async def dropped(self) -> None:
        """Wait until a worker has found that the ring is over."""
        async with asyncio.timeout(60):
            while "finished" not in [line.what for line in await trail_of(self.installation.store, self.call.cid)]:
                await asyncio.sleep(0.02)

    async def verdict(self, attempts: int) -> UserVerdict:
        """Wait until Jane's outcome is final, with so many attempts."""
        async with asyncio.timeout(60):
            while True:
                trail = await trail_of(self.installation.store, self.call.cid)
                jane = explain(self.call.cid, trail, "jane").rounds[0].people[0]
                found = [attempt for push in jane.deliveries if push.kind == "ring" for attempt in push.attempts]
                if jane.final and len(found) >= attempts:
                    return jane
                await asyncio.sleep(0.02)


@pytest.fixture
async def flow(tmp_path):
    async with Installation(tmp_path, {"MISSED_GRACE_S": "0.5"}) as installation:
        flow = Flow(installation)
        await flow.begin()
        yield flow


async def test_a_ring_that_is_over_then_is_not_known(flow):
    await flow.post(flow.call.rejected("sara"))
    flow.installation.start("worker", "worker-2")
    await flow.dropped()
    jane = await flow.verdict(attempts=1)
    assert jane.verdict.startswith("It is not known whether Jane's iPhone was rung: the call was cancelled ")
    assert "after 1 attempt with an unknown result: the worker died, or stood still, before" in jane.verdict
    assert len(flow.rung) == 1


async def test_a_doubled_ring_has_both_attempts(flow):
    flow.installation.start("worker", "worker-2")
    await flow.rings(2)
    await flow.answer()
    jane = await flow.verdict(attempts=2)
    (ring,) = [push for push in jane.deliveries if push.kind == "ring"]
    assert [attempt.outcome for attempt in ring.attempts] == ["worker_died", "accepted"]
    assert ring.sentence.endswith(" after the call began, after 1 attempt with an unknown result.")


async def test_each_lost_answer_is_one_attempt(flow):
    """The worker died, and then Apple did not answer its successor in time: the phone was rung three times."""
    flow.installation.apple.script(flow.phone.token, AppleReply(delay_s=ANSWER_S), AppleReply())
    flow.installation.start("worker", "worker-2")
    await flow.rings(3)
    await flow.answer()
    jane = await flow.verdict(attempts=3)
    (ring,) = [push for push in jane.deliveries if push.kind == "ring"]
    assert [attempt.outcome for attempt in ring.attempts] == ["worker_died", "unknown", "accepted"]
    assert ring.sentence.endswith(" after the call began, after 2 attempts with an unknown result.")
    assert len(flow.rung) == 3


async def test_a_phone_that_was_signed_out_is_not_known_either(flow):
    await run_steps(registry.remove("default", flow.phone), flow.installation.store)
    await flow.post(flow.call.rejected("sara"))
    flow.installation.start("worker", "worker-2")
    assert "It is not known whether device " in (await flow.verdict(attempts=1)).verdict
    assert len(flow.rung) == 1
