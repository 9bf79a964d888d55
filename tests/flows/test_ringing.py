"""The flows of Stream's ringing documentation, each from the webhook to the phones."""

import time

import pytest

from bellhop.sandbox.apple_script import AppleReply

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRY_LATER = AppleReply(503, "ServiceUnavailable", retry_after="1")
RING, NOTIFICATION, MISSED = "call.ring", "call.notification", "call.missed"


async def test_all_accept(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(call.accepted(ben.user), call.accepted(jane.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"], "jane": ["answered"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING]


async def test_one_accepts_and_one_declines(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(call.accepted(ben.user), call.rejected(jane.user, "decline"), call.session_ended())
    assert await scene.outcomes(call) == {"ben": ["answered"], "jane": ["declined"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING]


async def test_an_answer_does_not_end_the_ring_of_the_others(scene):
    ben, jane = await scene.android("ben"), await scene.iphone("jane")
    call = scene.call(ben, jane)
    scene.house.apple.script(jane.tokens[0], TRY_LATER)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.accepted(ben.user))
    await scene.rings(jane)


async def test_after_all_reject_only_the_timed_out_user_gets_a_notice(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(
        call.rejected(ben.user, "decline"),
        call.rejected(jane.user, "timeout"),
        call.rejected(call.caller, "Call rejected by all 2 callees"),
        call.missed(jane.user),
    )
    assert await scene.outcomes(call) == {"ben": ["declined"], "jane": ["timed_out"]}
    assert scene.seen(ben) == [RING]
    assert scene.seen(jane) == [RING, MISSED]


@pytest.mark.parametrize("reason", ["cancel", None, "timeout", "Android Service Task Removed"])
async def test_the_caller_gives_up_whatever_the_reason_says(scene, reason):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(call.rejected(call.caller, reason))
    assert await scene.outcomes(call) == {"ben": ["cancelled"], "jane": ["cancelled"]}
    await scene.post(call.missed())
    await scene.quiet()
    assert scene.seen(ben) == scene.seen(jane) == [RING, MISSED]


async def test_no_one_answers_and_stream_says_so(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(call.missed())
    assert await scene.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING, MISSED]


async def test_no_one_answers_and_no_call_missed_ever_comes(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane, ring_ms=5_000)
    await scene.post(call.ring(at=time.time() - 1))
    await scene.rings(ben, jane)
    assert await scene.outcomes(call) == {"ben": ["no_answer"], "jane": ["no_answer"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING, MISSED]


async def test_a_call_missed_that_comes_after_the_notice_was_derived(scene):
    ben = await scene.android("ben")
    call = scene.call(ben, ring_ms=5_000)
    await scene.post(call.ring(at=time.time() - 20))
    assert await scene.outcomes(call) == {"ben": ["no_answer"]}
    await scene.post(call.missed())
    assert await scene.outcomes(call) == {"ben": ["no_answer"]}
    assert scene.seen(ben) == [MISSED]


@pytest.mark.parametrize("separate", [False, True], ids=["one-event", "several-events"])
async def test_call_missed_by_several_members(scene, separate):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring())
    await scene.rings(ben, jane)
    await scene.post(*([call.missed(ben.user), call.missed(jane.user)] if separate else [call.missed()]), call.missed())
    assert await scene.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING, MISSED]


async def test_call_missed_with_notify_user_false_gives_no_notice(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.missed(notify_user=False), call.rejected(call.caller, "cancel"))
    assert await scene.outcomes(call) == {"ben": ["missed_quietly"]}
    assert scene.seen(ben) == [RING]


async def test_a_busy_callee_is_told_about_the_call(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.rejected(ben.user, "busy"))
    assert await scene.outcomes(call) == {"ben": ["busy"]}
    assert scene.seen(ben) == [RING, MISSED]


async def test_a_late_reject_after_an_accept_is_no_decline(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.accepted(ben.user), call.rejected(ben.user, "user-responded-elsewhere"))
    assert await scene.outcomes(call) == {"ben": ["answered"]}
    assert scene.seen(ben) == [RING]


async def test_the_same_user_answers_on_one_of_two_phones(scene):
    pixel, iphone = await scene.android("ben"), await scene.iphone("ben")
    call = scene.call(pixel)
    scene.house.apple.script(iphone.tokens[0], TRY_LATER)
    await scene.post(call.ring())
    await scene.rings(pixel)
    await scene.post(call.accepted(pixel.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"]}
    assert (scene.seen(pixel), scene.seen(iphone)) == ([RING], [])
    assert await scene.drops(call, iphone) == ["answered"]


async def test_a_server_side_end_names_no_user(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.ended())
    assert await scene.outcomes(call) == {"ben": ["ended"]}
    assert scene.seen(ben) == [RING, MISSED]


async def test_one_member_is_rung_in_a_running_call(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring(ben.user), call.accepted(ben.user), call.ring(jane.user))
    await scene.rings(jane)
    await scene.post(call.accepted(jane.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"], "jane": ["answered"]}
    assert scene.seen(jane) == [RING]


async def test_a_new_member_is_added_and_rung(scene):
    ben, ana = await scene.iphone("ben"), await scene.android("ana")
    call = scene.call(ben)
    await scene.post(call.ring(), call.accepted(ben.user))
    added = call.ring(ana.user) | {"type": "call.member_added"}
    await scene.post(added, call.ring(ana.user))
    await scene.rings(ana)
    await scene.post(call.rejected(ana.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"], "ana": ["declined"]}
    assert scene.seen(ana) == [RING]


async def test_a_member_who_rejected_is_rung_again(scene):
    ben = await scene.iphone("ben")
    call = scene.call(ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.rejected(ben.user), call.ring())
    await scene.rings(ben, times=2)
    await scene.post(call.accepted(ben.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["declined", "answered"]}
    assert scene.seen(ben) == [RING, RING]


async def test_everyone_is_rung_in_a_running_call(scene):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring(ben.user))
    await scene.rings(ben)
    await scene.post(call.rejected(ben.user), call.ring())
    await scene.rings(ben, times=2)
    await scene.rings(jane)
    await scene.post(call.accepted(ben.user), call.accepted(jane.user), call.ended())
    assert await scene.outcomes(call) == {"ben": ["declined", "answered"], "jane": ["answered"]}


@pytest.mark.parametrize("video", [True, False], ids=["video", "audio"])
async def test_the_phone_shows_a_video_call_or_an_audio_call(scene, video):
    ben, jane = await scene.iphone("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.ring(video=video))
    await scene.rings(ben, jane)
    await scene.post(call.ended())
    (on_apple,) = [one.payload for one in scene.house.apple.received if one.token == ben.tokens[0]]
    on_google = next(one.message["data"] for one in scene.house.google.received if one.token == jane.tokens[0])
    assert on_apple["stream"]["video"] == on_google["video"] == str(video).lower()


async def test_notify_only_never_rings(scene):
    ben, jane, sara = await scene.iphone("ben"), await scene.android("jane"), await scene.iphone("sara")
    call = scene.call(ben, jane, sara)
    await scene.post(call.notification())
    await scene.idle()
    assert scene.seen(ben) == scene.seen(jane) == [NOTIFICATION]
    assert scene.seen(sara) == []
    voip, _ = ben.tokens
    assert voip not in [one.token for one in scene.house.apple.requests]


async def test_an_invitation_that_comes_too_late_is_not_passed_on(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.notification(at=time.time() - 3600))
    await scene.idle()
    assert scene.seen(ben) == []
    assert [line.outcome for line in await scene.trail(call) if line.what == "finished"] == ["too_late"]


async def test_a_reused_call_id_rings_in_its_new_session(scene):
    ben = await scene.iphone("ben")
    first = scene.call(ben)
    await scene.post(first.ring())
    await scene.rings(ben)
    await scene.post(first.rejected(first.caller, "cancel"))
    await scene.quiet()
    second = first.again()
    scene.house.apple.script(ben.tokens[0], TRY_LATER)
    await scene.post(second.ring(), first.missed(), first.session_ended())
    await scene.rings(ben, times=2)
    await scene.post(second.accepted(ben.user), second.ended())
    assert await scene.outcomes(first) == {"ben": ["cancelled", "answered"]}
    assert scene.seen(ben) == [RING, MISSED, RING]


async def test_a_rung_creator_declines_for_nobody_else(scene):
    sara, jane = await scene.android("sara"), await scene.iphone("jane")
    call = scene.call(sara, jane)
    by_ben = call.ring() | {"user": {"id": f"ben-{scene.suffix}", "name": "Ben"}}
    scene.house.apple.script(jane.tokens[0], TRY_LATER)
    await scene.post(by_ben)
    await scene.rings(sara)
    await scene.post(call.rejected(sara.user))
    await scene.rings(jane)
    await scene.post(call.rejected(f"ben-{scene.suffix}", "cancel"))
    assert await scene.outcomes(call) == {"sara": ["declined"], "jane": ["cancelled"]}
