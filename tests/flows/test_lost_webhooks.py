"""Webhooks that never come: Stream is asked, and nobody is told of a missed call that they answered."""

import asyncio
import time

import pytest

from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_rest import hook
from bellhop.store.keys import missed_seen_key
from bellhop.trail import StreamAsked
from tests.flows.conftest import Flow

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"


async def asked(flow, call, kind):
    return [line for line in await flow.trail(call) if isinstance(line, StreamAsked) and line.kind == kind]


@pytest.mark.parametrize("phone", ["iphone", "android"])
async def test_a_lost_accept_is_no_missed_call(flow, phone):
    ben = await getattr(flow, phone)("ben")
    call, began = flow.call(ben, ring_ms=5_000), time.time() - 2
    await flow.post(call.ring(at=began))
    await flow.rings(ben)
    call.accepted(ben.user)
    assert await flow.outcomes(call) == {"ben": ["answered"]}
    assert flow.seen(ben) == [RING]
    (line,) = await asked(flow, call, "missed")
    assert (line.outcome, len(line.learned)) == ("answered", 1)


async def test_no_attempt_follows_a_lost_cancel(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    busy = AppleReply(503, "ServiceUnavailable", retry_after="1")
    flow.installation.apple.script(ben.tokens[0], *[busy] * 20)
    await flow.post(call.ring(at=time.time() - 4))
    await flow.attempted(ben)
    call.rejected(call.caller, "cancel")
    cancelled_at = time.time()
    assert await flow.outcomes(call) == {"ben": ["cancelled"]}
    assert await flow.drops(call, ben) == ["cancelled"]
    assert flow.seen(ben) == [MISSED]
    assert time.time() - cancelled_at < 5
    assert [line.learned for line in await asked(flow, call, "ring") if line.learned]


async def test_a_stream_that_fails_delays_little(tmp_path):
    async with Installation(tmp_path, {"STREAM_QUESTIONS_PER_S": "100"}) as installation:
        flow, stream = Flow(installation), installation.stream_api
        # After the last two, Stream is not asked for a while.
        for status, pause_s, outcome in (
            (500, 0, "no_answer"),
            (200, 20, "no_answer"),
            (404, 0, "unknown_call"),
            (429, 0, "refused"),
            (403, 0, "refused"),
        ):
            stream.question_status, stream.question_pause_s = status, pause_s
            ben, jane = await flow.iphone(f"ben-{status}"), await flow.android(f"jane-{status}")
            late, over = flow.call(ben), flow.call(jane)
            began = time.time()
            await flow.post(late.ring(at=began - 6))
            await flow.rings(ben)
            assert time.time() - began < 1
            began = time.time()
            await flow.post(over.ring(at=began - 1), over.rejected(over.caller, "cancel"))
            await flow.until(lambda phone=jane: MISSED in flow.seen(phone), "a notice")
            assert time.time() - began < 2.5
            (line,) = await asked(flow, over, "missed")
            assert line.outcome == outcome
            await flow.post(late.ended())
            await flow.quiet(late, over)


async def test_no_notice_waits_for_a_missed_that_cannot_come(tmp_path):
    installation = Installation(tmp_path, {"STREAM_QUESTIONS_PER_S": "100"})
    ours = f"{installation.url}/webhooks/stream"
    installation.stream_api.app["event_hooks"] = [hook(ours, "call.ring", "call.rejected")]
    async with installation:
        flow = Flow(installation)
        await installation.store.call("SET", missed_seen_key("default"), "")
        while not installation.stream_api.app_reads:
            await asyncio.sleep(0.02)
        # This machine may be slow, so one of several has to be fast. With the wait, none would be.
        for _ in range(10):
            call, began = flow.call("ben"), time.time()
            await flow.post(call.ring(at=began - 2), call.rejected(call.caller, "cancel", at=began))
            assert await flow.outcomes(call) == {"ben": ["cancelled"]}
            (line,) = [line for line in await flow.trail(call) if line.what == "settled"]
            if line.at / 1e6 < began + 1.4:
                return
        pytest.fail("each notice waited")
