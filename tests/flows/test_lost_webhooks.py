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
    call = flow.call(ben, ring_ms=5_000)
    await flow.post(call.ring())
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
    assert await flow.outcomes(call) == {"ben": ["cancelled"]}
    assert await flow.drops(call, ben) == ["cancelled"]
    assert flow.seen(ben) == [MISSED]
    lines, (learned,) = await flow.trail(call), [line for line in await asked(flow, call, "ring") if line.learned]
    after = [line for line in lines[lines.index(learned) :] if line.what == "attempted" and line.kind == "ring"]
    assert len(after) <= 1, "only an attempt that was under way"


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
            # This machine may be slow, so one of several tries has to be fast.
            for number in range(10):
                ring_s, notice_s, found = await ring_and_notice(flow, f"{status}-{number}")
                if ring_s < 1 and notice_s < 2.5 and found == outcome:
                    break
            else:
                pytest.fail(f"with {status}, each ring or notice waited: {ring_s}, {notice_s}, {found}")


async def ring_and_notice(flow, name):
    """Return how many seconds a late ring and a notice take, and what Stream's answer before the notice was."""
    ben, jane = await flow.iphone(f"ben-{name}"), await flow.android(f"jane-{name}")
    late, over = flow.call(ben), flow.call(jane)
    began = time.time()
    await flow.post(late.ring(at=began - 6))
    await flow.rings(ben)
    ring_s, began = time.time() - began, time.time()
    await flow.post(over.ring(at=began - 1), over.rejected(over.caller, "cancel"))
    await flow.until(lambda: MISSED in flow.seen(jane), "a notice")
    notice_s = time.time() - began
    (line,) = await asked(flow, over, "missed")
    await flow.post(late.ended())
    await flow.quiet(late, over)
    return ring_s, notice_s, line.outcome


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
