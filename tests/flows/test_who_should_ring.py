"""Events that say who should ring, besides those of Stream's ringing flow."""

import secrets
import time
from datetime import UTC, datetime

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.store.keys import devices_key, user_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

RING, MISSED = "call.ring", "call.missed"
TRY_LATER = AppleReply(503, "ServiceUnavailable", retry_after="1")


@pytest.mark.parametrize("kind", ["call.member_removed", "call.blocked_user", "call.kicked_user"])
async def test_who_was_thrown_out_is_not_rung_and_not_told(flow, kind):
    ben, jane = await flow.iphone("ben"), await flow.iphone("jane")
    call = flow.call(ben, jane)
    flow.installation.apple.script(ben.tokens[0], *[TRY_LATER] * 20)
    await flow.post(call.ring())
    await flow.attempted(ben)
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


def about(user, kind, at, **facts):
    created_at = datetime.fromtimestamp(at, UTC).isoformat()
    return {"type": f"user.{kind}", "created_at": created_at, "user": {"id": user, **facts}}


async def test_a_deactivated_user_gets_no_push_until_reactivated(flow):
    ben, now = await flow.iphone("ben"), time.time()
    # In the wrong order, and one of them again: the stamps decide.
    away, back = about(ben.user, "deactivated", now - 2), about(ben.user, "reactivated", now - 1)
    await flow.post(away)
    quiet = flow.call(ben)
    await flow.post(quiet.ring())
    await flow.idle()
    await flow.post(quiet.ended())
    assert await flow.outcomes(quiet) == {"ben": ["ended"]}
    assert flow.seen(ben) == []
    skipped = [line.outcome for line in await flow.trail(quiet) if line.what == "skipped"]
    assert set(skipped) == {"deactivated"}
    await flow.post(back, away)
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(about(ben.user, "updated", now, deactivated_at=datetime.now(UTC).isoformat()), call.ended())
    assert await flow.outcomes(call) == {"ben": ["ended"]}
    assert flow.seen(ben) == [RING]


async def test_a_deleted_user_is_forgotten(flow):
    ben = await flow.iphone("ben")
    store, person = flow.installation.store, user_key("default", ben.user)
    await store.call("HSET", person, "contact", '{"email":"ben@example.com"}', "preferences", '{"email":false}')
    deleted = about(ben.user, "deleted", time.time())
    await flow.post(deleted)
    assert await store.call("EXISTS", person, devices_key("default", ben.user)) == 0
    call = flow.call(ben)
    await flow.post(call.ring(), call.ended())
    # By then, the trail may have a pseudonym, and the ring may have ended for it.
    assert [*(await flow.outcomes(call)).values()] in ([["ended"]], [["removed"]])
    assert flow.seen(ben) == []
    # A new user with the same id: the event that comes again is about the old one.
    await store.call("HSET", person, "contact", '{"email":"new@example.com"}')
    assert (await flow.installation.stream.post(deleted)).body["status"] == "already"
    assert await store.call("HGET", person, "contact") is not None


async def test_a_device_of_a_new_user_outlives_the_deletion(flow):
    ben = await flow.iphone("ben")
    await flow.post(about(ben.user, "deleted", time.time() - 60))
    assert await flow.installation.store.call("HLEN", devices_key("default", ben.user)) == 2
    token = secrets.token_hex(32)
    await flow.installation.register(ben.user, Provider.APNS, Kind.VOIP, token)
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.ended())
