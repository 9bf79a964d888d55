"""The flows of Stream's ringing documentation, each from the webhook to the phones."""

import json
import time

import pytest

from bellhop.sandbox.apple_script import AppleReply
from webhook.intake.parsing import parse

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRY_LATER = AppleReply(503, "ServiceUnavailable", retry_after="1")
AWAY = [TRY_LATER] * 20
"""Apple accepts nothing for as long as a test lasts."""
RING, NOTIFICATION, MISSED = "call.ring", "call.notification", "call.missed"


def micros_of(event) -> int:
    return parse(json.dumps(event).encode()).at


async def test_all_accept(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(call.accepted(ben.user), call.accepted(jane.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"], "jane": ["answered"]}
    assert flow.seen(ben) == flow.seen(jane) == [RING]


async def test_one_accepts_and_one_declines(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(call.accepted(ben.user), call.rejected(jane.user, "decline"), call.session_ended())
    assert await flow.outcomes(call) == {"ben": ["answered"], "jane": ["declined"]}
    assert flow.seen(ben) == flow.seen(jane) == [RING]


async def test_an_answer_does_not_end_the_ring_of_the_others(flow):
    ben, jane = await flow.android("ben"), await flow.iphone("jane")
    call = flow.call(ben, jane)
    flow.installation.apple.script(jane.tokens[0], TRY_LATER)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.accepted(ben.user))
    await flow.rings(jane)


async def test_after_all_reject_only_the_timed_out_user_gets_a_notice(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(
        call.rejected(ben.user, "decline"),
        call.rejected(jane.user, "timeout"),
        call.rejected(call.caller, "Call rejected by all 2 callees"),
        call.missed(jane.user),
    )
    assert await flow.outcomes(call) == {"ben": ["declined"], "jane": ["timed_out"]}
    assert flow.seen(ben) == [RING]
    assert flow.seen(jane) == [RING, MISSED]


@pytest.mark.parametrize("reason", ["cancel", None, "Android Service Task Removed"])
async def test_the_caller_gives_up_whatever_the_reason_says(flow, reason):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(call.rejected(call.caller, reason))
    assert await flow.outcomes(call) == {"ben": ["cancelled"], "jane": ["cancelled"]}
    await flow.post(call.missed())
    await flow.quiet()
    assert flow.seen(ben) == flow.seen(jane) == [RING, MISSED]


async def test_no_one_answers_and_stream_says_so(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane, ring_ms=5_000)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(call.missed())
    assert await flow.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert flow.seen(ben) == [RING, MISSED]
    await flow.until(lambda: flow.seen(jane) == [RING, MISSED], "the notice after the ring")


async def test_a_notice_never_ends_a_ring_that_goes_on(flow):
    """Stream's call.missed comes 3 s before the phones stop. On Android, the notice would end the ring."""
    ben, jane = await flow.android("ben"), await flow.android("jane")
    tablet = await flow.iphone("ben")
    call = flow.call(ben, jane, ring_ms=8_000)
    ring = call.ring()
    ring["call"]["settings"]["ring"]["missed_call_timeout_ms"] = 3_000
    await flow.post(ring)
    await flow.rings(ben, jane, tablet)
    await flow.post(call.missed())
    assert await flow.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert flow.seen(tablet) == [RING, MISSED]
    await flow.post(call.accepted(jane.user))
    await flow.until(lambda: flow.seen(ben) == [RING, MISSED], "the notice after the ring")
    _, notice = flow.installation.google.pushes(ben.tokens[0])
    assert notice.received_at >= micros_of(ring) / 1e6 + 8
    ends = [line for line in await flow.trail(call) if getattr(line, "outcome", "") == "still_rings"]
    assert sorted({line.user for line in ends}) == sorted([ben.user, jane.user])
    assert flow.seen(tablet) == [RING, MISSED]
    assert flow.seen(jane) == [RING]


async def test_a_derived_notice_waits_for_streams_own(flow):
    ben = await flow.iphone("ben")
    call, now = flow.call(ben, ring_ms=5_000), time.time()
    ring = call.ring(at=now)
    ring["call"]["settings"]["ring"]["missed_call_timeout_ms"] = 6_000
    await flow.post(ring)
    assert await flow.outcomes(call) == {"ben": ["no_answer"]}
    assert time.time() >= now + 6.5
    assert flow.seen(ben) == [RING, MISSED]


async def test_no_one_answers_and_no_call_missed_ever_comes(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane, ring_ms=5_000)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    assert await flow.outcomes(call) == {"ben": ["no_answer"], "jane": ["no_answer"]}
    assert flow.seen(ben) == flow.seen(jane) == [RING, MISSED]


async def test_a_call_missed_that_comes_after_the_notice_was_derived(flow):
    ben = await flow.android("ben")
    call = flow.call(ben, ring_ms=5_000)
    await flow.post(call.ring(at=time.time() - 20))
    assert await flow.outcomes(call) == {"ben": ["no_answer"]}
    await flow.post(call.missed())
    assert await flow.outcomes(call) == {"ben": ["no_answer"]}
    assert flow.seen(ben) == [MISSED]


@pytest.mark.parametrize("separate", [False, True], ids=["one-event", "several-events"])
async def test_call_missed_by_several_members(flow, separate):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane, ring_ms=5_000)
    await flow.post(call.ring())
    await flow.rings(ben, jane)
    await flow.post(*([call.missed(ben.user), call.missed(jane.user)] if separate else [call.missed()]), call.missed())
    assert await flow.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert flow.seen(ben) == [RING, MISSED]
    await flow.until(lambda: flow.seen(jane) == [RING, MISSED], "the notice after the ring")


async def test_call_missed_with_notify_user_false_gives_no_notice(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.missed(notify_user=False), call.rejected(call.caller, "cancel"))
    assert await flow.outcomes(call) == {"ben": ["missed_quietly"]}
    assert flow.seen(ben) == [RING]


async def test_a_busy_callee_is_told_about_the_call(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(ben.user, "busy"))
    assert await flow.outcomes(call) == {"ben": ["busy"]}
    assert flow.seen(ben) == [RING, MISSED]


async def test_a_late_reject_after_an_accept_is_no_decline(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.accepted(ben.user), call.rejected(ben.user, "user-responded-elsewhere"))
    assert await flow.outcomes(call) == {"ben": ["answered"]}
    assert flow.seen(ben) == [RING]


async def test_the_same_user_answers_on_one_of_two_phones(flow):
    pixel, iphone = await flow.android("ben"), await flow.iphone("ben")
    call = flow.call(pixel)
    flow.installation.apple.script(iphone.tokens[0], *AWAY)
    await flow.post(call.ring())
    await flow.rings(pixel)
    await flow.post(call.accepted(pixel.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"]}
    assert (flow.seen(pixel), flow.seen(iphone)) == ([RING], [])
    assert await flow.drops(call, iphone) == ["answered"]


async def test_a_server_side_end_names_no_user(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.ended())
    assert await flow.outcomes(call) == {"ben": ["ended"]}
    assert flow.seen(ben) == [RING, MISSED]


async def test_one_member_is_rung_in_a_running_call(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring(ben.user), call.accepted(ben.user), call.ring(jane.user))
    await flow.rings(jane)
    await flow.post(call.accepted(jane.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"], "jane": ["answered"]}
    assert flow.seen(jane) == [RING]


async def test_a_new_member_is_added_and_rung(flow):
    ben, ana = await flow.iphone("ben"), await flow.android("ana")
    call = flow.call(ben)
    await flow.post(call.ring(), call.accepted(ben.user))
    added = call.ring(ana.user) | {"type": "call.member_added"}
    await flow.post(added, call.ring(ana.user))
    await flow.rings(ana)
    await flow.post(call.rejected(ana.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"], "ana": ["declined"]}
    assert flow.seen(ana) == [RING]


async def test_a_member_who_rejected_is_rung_again(flow):
    ben = await flow.iphone("ben")
    call = flow.call(ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(ben.user), call.ring())
    await flow.rings(ben, times=2)
    await flow.idle()  # the first ring's outcome is final
    await flow.post(call.accepted(ben.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["declined", "answered"]}
    assert flow.seen(ben) == [RING, RING]


async def test_everyone_is_rung_in_a_running_call(flow):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring(ben.user))
    await flow.rings(ben)
    await flow.post(call.rejected(ben.user), call.ring())
    await flow.rings(ben, times=2)
    await flow.rings(jane)
    await flow.idle()  # the first ring's outcome is final
    await flow.post(call.accepted(ben.user), call.accepted(jane.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["declined", "answered"], "jane": ["answered"]}


@pytest.mark.parametrize("video", [True, False], ids=["video", "audio"])
async def test_the_phone_shows_a_video_call_or_an_audio_call(flow, video):
    ben, jane = await flow.iphone("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.ring(video=video))
    await flow.rings(ben, jane)
    await flow.post(call.ended())
    (on_apple,) = [one.payload for one in flow.installation.apple.received if one.token == ben.tokens[0]]
    on_google = next(one.message["data"] for one in flow.installation.google.received if one.token == jane.tokens[0])
    assert on_apple["stream"]["video"] == on_google["video"] == str(video).lower()


async def test_notify_only_never_rings(flow):
    ben, jane, sara = await flow.iphone("ben"), await flow.android("jane"), await flow.iphone("sara")
    call = flow.call(ben, jane, sara)
    await flow.post(call.notification())
    await flow.idle()
    assert flow.seen(ben) == flow.seen(jane) == [NOTIFICATION]
    assert flow.seen(sara) == []
    voip, _ = ben.tokens
    assert voip not in [one.token for one in flow.installation.apple.requests]


async def test_an_invitation_that_comes_too_late_is_not_passed_on(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.notification(at=time.time() - 3600))
    await flow.idle()
    assert flow.seen(ben) == []
    assert [line.outcome for line in await flow.trail(call) if line.what == "finished"] == ["too_late"]


async def test_a_reused_call_id_rings_in_its_new_session(flow):
    ben = await flow.iphone("ben")
    first = flow.call(ben)
    await flow.post(first.ring())
    await flow.rings(ben)
    await flow.post(first.rejected(first.caller, "cancel"))
    await flow.quiet()
    second = first.again()
    flow.installation.apple.script(ben.tokens[0], TRY_LATER)
    await flow.post(second.ring(), first.missed(), first.session_ended())
    await flow.rings(ben, times=2)
    await flow.post(second.accepted(ben.user), second.ended())
    assert await flow.outcomes(first) == {"ben": ["cancelled", "answered"]}
    assert flow.seen(ben) == [RING, MISSED, RING]


async def test_a_rung_creator_declines_for_nobody_else(flow):
    sara, jane = await flow.android("sara"), await flow.iphone("jane")
    call = flow.call(sara, jane)
    by_ben = call.ring() | {"user": {"id": f"ben-{flow.suffix}", "name": "Ben"}}
    flow.installation.apple.script(jane.tokens[0], TRY_LATER)
    await flow.post(by_ben)
    await flow.rings(sara)
    await flow.post(call.rejected(sara.user))
    await flow.rings(jane)
    await flow.post(call.rejected(f"ben-{flow.suffix}", "cancel"))
    assert await flow.outcomes(call) == {"sara": ["declined"], "jane": ["cancelled"]}
