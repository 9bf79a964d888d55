"""Events that say who should ring, besides those of Stream's ringing flow."""

import time

import pytest

from bellhop.sandbox.apple_script import AppleReply

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"
TRY_LATER = AppleReply(503, "ServiceUnavailable", retry_after="1")


@pytest.mark.parametrize("kind", ["call.member_removed", "call.blocked_user", "call.kicked_user"])
async def test_who_was_thrown_out_is_not_rung_and_not_told(flow, kind):
    ben, jane = await flow.iphone("ben"), await flow.iphone("jane")
    call = flow.call(ben, jane)
    flow.installation.apple.script(ben.tokens[0], TRY_LATER)
    await flow.post(call.ring())
    await flow.until(lambda: ben.tokens[0] in [one.token for one in flow.installation.apple.requests], "a first attempt")
    out = call.member_removed(ben.user) if kind == "call.member_removed" else call.thrown_out(ben.user, kind)
    await flow.post(out)
    await flow.rings(jane)
    await flow.post(call.rejected(call.caller, "cancel"))
    assert await flow.outcomes(call) == {"ben": ["removed"], "jane": ["cancelled"]}
    assert flow.seen(ben) == []
    assert await flow.drops(call, ben) == ["removed"]


async def test_who_is_removed_after_the_ring_has_missed_it(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    await flow.post(call.ring(at=now - 3), call.member_removed(ben.user, at=now - 1))
    await flow.quiet()
    missed = flow.call(ben)
    await flow.post(missed.member_removed(ben.user, at=now), missed.rejected(missed.caller, at=now - 1))
    await flow.post(missed.ring(at=now - 3))
    assert await flow.outcomes(missed) == {"ben": ["cancelled"]}
    assert await flow.outcomes(call) == {"ben": ["removed"]}


async def test_a_caller_who_leaves_while_nobody_else_is_in_hangs_up(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    await flow.post(call.joined(call.caller), call.ring())
    await flow.rings(ben)
    await flow.post(call.left(call.caller))
    assert await flow.outcomes(call) == {"ben": ["cancelled"]}
    assert flow.seen(ben) == [RING, MISSED]


async def test_a_caller_who_leaves_others_or_is_back_does_not_hang_up(flow):
    ben, jane = await flow.iphone("ben"), await flow.iphone("jane")
    call = flow.call(ben, jane)
    await flow.post(call.joined(call.caller), call.ring())
    first = call.left(call.caller)
    await flow.post(call.joined(call.caller), first)  # a reconnection: the old participant leaves last
    await flow.rings(ben, jane)
    await flow.post(call.joined(ben.user), call.left(call.caller))
    await flow.idle()
    assert MISSED not in flow.seen(jane)
    await flow.post(call.left(ben.user), call.rejected(jane.user))
    assert await flow.outcomes(call) == {"ben": ["answered"], "jane": ["declined"]}


async def test_an_event_tells_who_missed_the_call(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben, ring_ms=5_000), time.time()
    await flow.post(call.ring(at=now - 20))
    call.missed_by[ben.user] = call.ring(at=now - 16)["created_at"]
    other = flow.call(ben, ring_ms=5_000)
    other.missed_by[ben.user] = other.ring(at=now - 16)["created_at"]
    await flow.post(other.updated(), other.ring(at=now - 20))
    assert await flow.outcomes(other) == {"ben": ["missed"]}


async def test_an_event_tells_who_is_in_the_call(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    call.joined(ben.user, at=now - 1)  # its webhook is lost
    await flow.post(call.updated(), call.ring(at=now - 2), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"]}
    assert flow.seen(ben) == []


async def test_an_event_tells_that_the_session_has_ended(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben), time.time()
    updated = call.updated()
    updated["call"]["session"]["ended_at"] = call.ring(at=now - 1)["created_at"]
    await flow.post(updated, call.ring(at=now - 2))
    assert await flow.outcomes(call) == {"ben": ["ended"]}
    assert flow.seen(ben) == [MISSED]
