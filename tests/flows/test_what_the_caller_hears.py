"""What Stream's custom events tell the caller's app, from the webhook to the stand-in for Stream."""

from datetime import UTC, datetime, timedelta

import pytest

from bellhop.domain.user import Preferences
from bellhop.sandbox.apple_script import AppleReply
from bellhop.store.keys import user_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEAD = AppleReply(410, "Unregistered")


async def prefers(flow, user, **wishes):
    preferences = Preferences(**wishes).model_dump_json()
    await flow.installation.store.call("HSET", user_key("default", user), "preferences", preferences)


async def test_each_user_is_reached_once(flow):
    ben, tablet, jane = await flow.iphone("ben"), await flow.android("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, tablet, jane)
    await flow.hears(call, ("reached", ben), ("reached", jane))
    event = next(event for event in flow.installation.stream_api.events.requests if event.cid == call.cid)
    assert event.user == call.caller
    assert set(event.custom) == {"type", "user_id", "ring_started_at"}


async def test_a_phone_that_rings_is_announced_once(flow):
    ben, tablet = await flow.iphone("ben"), await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben, tablet)
    await flow.hears(call, ("reached", ben))
    for phone in (tablet, ben, ben):
        await flow.reports(phone)
    await flow.hears(call, ("reached", ben), ("ringing", ben))
    assert [what for what, _ in flow.installation.stream_api.events.heard(call.cid)] == [
        "bellhop.ring.reached",
        "bellhop.ring.ringing",
    ]


async def test_a_phone_that_declines_does_not_ring(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.reports(ben, "declined")
    await flow.hears(call, ("reached", ben))


async def test_a_user_without_devices_is_unreachable(flow):
    ben, nobody = await flow.android("ben"), f"nobody-{flow.suffix}"
    call = flow.call(ben, nobody)
    await flow.post(call.ring())
    await flow.hears(call, ("reached", ben), ("unreachable", nobody))


async def test_a_user_with_dead_tokens_is_unreachable(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    flow.installation.apple.script(ben.tokens[0], DEAD)
    await flow.post(call.ring())
    await flow.hears(call, ("unreachable", ben))


async def test_one_phone_is_enough(flow):
    ben, other = await flow.iphone("ben"), await flow.android("ben")
    call = flow.call(ben)
    flow.installation.apple.script(ben.tokens[0], DEAD)
    await flow.post(call.ring())
    await flow.rings(other)
    await flow.hears(call, ("reached", ben))


async def test_a_user_who_blocked_the_caller_sounds_like_a_muted_one(flow):
    ben, jane = await flow.android("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await prefers(flow, ben.user, mute_until=datetime.now(UTC) + timedelta(hours=1))
    await prefers(flow, jane.user, never_from=(call.caller,))
    await flow.post(call.ring())
    await flow.hears(call, ("unreachable", ben), ("unreachable", jane))


async def test_a_user_who_has_answered_is_not_unreachable(flow):
    nobody = f"nobody-{flow.suffix}"
    call = flow.call(nobody)
    ring = call.ring()
    await flow.post(call.accepted(nobody), ring)
    await flow.idle()
    await flow.hears(call)


async def test_a_late_receipt_is_not_told_after_a_decline(flow):
    ben, tablet = await flow.iphone("ben"), await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben, tablet)
    await flow.hears(call, ("reached", ben))
    await flow.reports(ben, "declined")
    await flow.reports(tablet)
    await flow.hears(call, ("reached", ben))
