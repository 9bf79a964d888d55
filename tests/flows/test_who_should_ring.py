"""Events that say who should ring, besides those of Stream's ringing flow."""

import time

import pytest

from bellhop.sandbox.apple_script import AppleReply

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"
TRY_LATER = AppleReply(503, "ServiceUnavailable", retry_after="1")


@pytest.mark.parametrize("kind", ["call.member_removed", "call.blocked_user", "call.kicked_user"])
async def test_who_was_thrown_out_is_not_rung_and_not_told(scene, kind):
    ben, jane = await scene.iphone("ben"), await scene.iphone("jane")
    call = scene.call(ben, jane)
    scene.house.apple.script(ben.tokens[0], TRY_LATER)
    await scene.post(call.ring())
    await scene.until(lambda: ben.tokens[0] in [one.token for one in scene.house.apple.requests], "a first attempt")
    out = call.member_removed(ben.user) if kind == "call.member_removed" else call.thrown_out(ben.user, kind)
    await scene.post(out)
    await scene.rings(jane)
    await scene.post(call.rejected(call.caller, "cancel"))
    assert await scene.outcomes(call) == {"ben": ["removed"], "jane": ["cancelled"]}
    assert scene.seen(ben) == []
    assert await scene.drops(call, ben) == ["removed"]


async def test_who_is_removed_after_the_ring_has_missed_it(scene):
    ben = await scene.iphone("ben")
    call, now = scene.call(ben), time.time()
    await scene.post(call.ring(at=now - 3), call.member_removed(ben.user, at=now - 1))
    await scene.quiet()
    missed = scene.call(ben)
    await scene.post(missed.member_removed(ben.user, at=now), missed.rejected(missed.caller, at=now - 1))
    await scene.post(missed.ring(at=now - 3))
    assert await scene.outcomes(missed) == {"ben": ["cancelled"]}
    assert await scene.outcomes(call) == {"ben": ["removed"]}


async def test_a_caller_who_leaves_while_nobody_else_is_in_hangs_up(scene):
    ben = await scene.iphone("ben")
    call = scene.call(ben)
    await scene.post(call.joined(call.caller), call.ring())
    await scene.rings(ben)
    await scene.post(call.left(call.caller))
    assert await scene.outcomes(call) == {"ben": ["cancelled"]}
    assert scene.seen(ben) == [RING, MISSED]


async def test_a_caller_who_leaves_others_or_is_back_does_not_hang_up(scene):
    ben, jane = await scene.iphone("ben"), await scene.iphone("jane")
    call = scene.call(ben, jane)
    await scene.post(call.joined(call.caller), call.ring())
    first = call.left(call.caller)
    await scene.post(call.joined(call.caller), first)  # a reconnection: the old participant leaves last
    await scene.rings(ben, jane)
    await scene.post(call.joined(ben.user), call.left(call.caller))
    await scene.idle()
    assert MISSED not in scene.seen(jane)
    await scene.post(call.left(ben.user), call.rejected(jane.user))
    assert await scene.outcomes(call) == {"ben": ["answered"], "jane": ["declined"]}


async def test_an_event_tells_who_missed_the_call(scene):
    ben = await scene.iphone("ben")
    call, now = scene.call(ben, ring_ms=5_000), time.time()
    await scene.post(call.ring(at=now - 20))
    call.missed_by[ben.user] = call.ring(at=now - 16)["created_at"]
    other = scene.call(ben, ring_ms=5_000)
    other.missed_by[ben.user] = other.ring(at=now - 16)["created_at"]
    await scene.post(other.updated(), other.ring(at=now - 20))
    assert await scene.outcomes(other) == {"ben": ["missed"]}


async def test_an_event_tells_who_is_in_the_call(scene):
    ben = await scene.iphone("ben")
    call, now = scene.call(ben), time.time()
    call.joined(ben.user, at=now - 1)  # its webhook is lost
    await scene.post(call.updated(), call.ring(at=now - 2), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"]}
    assert scene.seen(ben) == []


async def test_an_event_tells_that_the_session_has_ended(scene):
    ben = await scene.iphone("ben")
    call, now = scene.call(ben), time.time()
    updated = call.updated()
    updated["call"]["session"]["ended_at"] = call.ring(at=now - 1)["created_at"]
    await scene.post(updated, call.ring(at=now - 2))
    assert await scene.outcomes(call) == {"ben": ["ended"]}
    assert scene.seen(ben) == [MISSED]
