"""Phones reject by themselves when a ring is over. Only a rejection before that says what the user wants."""

import time

import pytest

from bellhop.explain.explanation import explain
from bellhop.sandbox.apple_script import AppleReply

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"


@pytest.mark.parametrize("cancel_comes_first", [True, False])
@pytest.mark.parametrize("reason", ["decline", None, "call.ended event received"])
async def test_a_phone_that_rejects_after_the_cancel_missed_the_call(flow, cancel_comes_first, reason):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    await flow.post(call.ring(at=now - 5))
    await flow.rings(ben)
    cancel = call.rejected(call.caller, "cancel", at=now - 1)
    by_phone = call.rejected(ben.user, reason, at=now - 0.7)
    await flow.post(*((cancel, by_phone) if cancel_comes_first else (by_phone, cancel)))
    assert await flow.outcomes(call) == {"ben": ["cancelled"]}
    assert flow.seen(ben) == [RING, MISSED]


@pytest.mark.parametrize("cancel_comes_first", [True, False])
async def test_a_decline_before_the_cancel_is_a_decline(flow, cancel_comes_first):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    await flow.post(call.ring(at=now - 5))
    await flow.rings(ben)
    declined = call.rejected(ben.user, at=now - 1)
    cancel = call.rejected(call.caller, "cancel", at=now - 0.7)
    await flow.post(*((cancel, declined) if cancel_comes_first else (declined, cancel)))
    assert await flow.outcomes(call) == {"ben": ["declined"]}
    await flow.post(call.rejected(ben.user, "decline"))  # another phone of ben's, by itself
    await flow.quiet()
    assert flow.seen(ben) == [RING]


async def test_the_decline_of_a_phone_at_the_end_is_a_time_out(flow):
    """GetStream/stream-video-swift#1096: when the ring's time is over, the phone says that its user declined."""
    ben = await flow.iphone("ben")
    call, now = flow.call(ben, ring_ms=5_000), time.time()
    # Both are made before the first is posted: if the second comes too late, Stream tells of the rejection when asked.
    await flow.post(call.ring(at=now - 4.8), call.rejected(ben.user, "decline", at=now))
    assert await flow.outcomes(call) == {"ben": ["timed_out"]}
    assert flow.seen(ben)[-1] == MISSED


@pytest.mark.parametrize("reason", ["report-call-failed", "not-configured"])
async def test_a_phone_that_could_not_show_the_call_missed_it(flow, reason):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(ben.user, reason))
    assert await flow.outcomes(call) == {"ben": ["timed_out"]}
    assert flow.seen(ben) == [RING, MISSED]


async def test_the_end_of_the_first_ring_comes_after_the_second_began(flow):
    ben = await flow.iphone("ben")
    first, now = flow.call(ben), time.time()
    second = first.again()
    await flow.post(first.ring(at=now - 10), first.rejected(first.caller, "cancel", at=now - 3))
    await flow.post(second.ring(at=now - 2.9), first.rejected(ben.user, "decline", at=now - 2.7))
    await flow.rings(ben)
    await flow.idle()
    await flow.post(second.accepted(ben.user, at=now))
    await flow.post(second.ended())
    assert await flow.outcomes(first) == {"ben": ["cancelled", "answered"]}


async def test_a_second_ring_in_the_session_is_declined_at_once(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    await flow.post(call.ring(at=now - 10), call.rejected(ben.user, at=now - 8))
    await flow.post(call.ring(at=now - 1), call.rejected(ben.user, at=now - 0.5))
    assert await flow.outcomes(call) == {"ben": ["declined", "declined"]}
    assert MISSED not in flow.seen(ben)


async def test_a_rejection_whose_reason_comes_later_has_one_word(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    flow.installation.apple.script(ben.tokens[0], *[AppleReply(503, "ServiceUnavailable", retry_after="1")] * 20)
    await flow.post(call.ring())
    await flow.attempted(ben)
    rejected = call.rejected(ben.user, "busy")
    await flow.post(call.updated())  # it tells that ben rejected, without the reason
    await flow.idle()
    assert await flow.drops(call, ben) == ["declined"]
    await flow.post(rejected)
    assert await flow.outcomes(call) == {"ben": ["busy"]}
    (round_,) = explain(call.cid, await flow.trail(call), ben.user).rounds
    told = [round_.people[0].verdict, *(entry.sentence for entry in round_.timeline)]
    assert "had another call" in told[0]
    assert "declined" not in " ".join(told)


async def test_the_callers_app_gives_up_since_nobody_answered(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(call.caller, "timeout"))
    assert await flow.outcomes(call) == {"ben": ["no_answer"]}
    assert flow.seen(ben) == [RING, MISSED]
