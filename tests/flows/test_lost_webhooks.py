"""Webhooks that never come: Stream is asked, and nobody is told of a missed call that they answered."""

import time

import pytest

from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.trail import StreamAsked
from tests.flows.conftest import Flow

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"


async def asked(flow, call, kind):
    return [line for line in await flow.trail(call) if isinstance(line, StreamAsked) and line.kind == kind]


@pytest.mark.parametrize("phone", ["iphone", "android"])
async def test_a_lost_accept_is_no_missed_call(flow, phone):
    ben = await getattr(flow, phone)("ben")
    call, began = flow.call(ben, ring_ms=5_000), time.time() - 4.5
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
    requests = flow.installation.apple.requests
    await flow.until(lambda: ben.tokens[0] in [request.token for request in requests], "a first attempt")
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
