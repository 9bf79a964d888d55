"""What no app should send and some do: every one of them has a defined result, and none stops anything else."""

import time

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY_S = 24 * 3600
RING, MISSED = "call.ring", "call.missed"
ODD_NAMES = ["a:b", "a|b|1", "a\nb", "Zoë", "\U0001f600", "a b", "*", "%s", '"', "0"]


async def test_a_ring_with_no_members_rings_nobody(scene):
    call = scene.call("nobody")
    await scene.post(call.ring() | {"members": []}, call.ring() | {"members": None})
    await scene.quiet()
    assert await scene.outcomes(call) == {}


async def test_the_caller_among_the_members_is_not_rung(scene):
    sara, ben = await scene.android("sara"), await scene.android("ben")
    call = scene.call(sara, ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.ended())
    assert await scene.outcomes(call) == {"ben": ["ended"]}
    assert scene.seen(sara) == []


async def test_events_of_an_unknown_call(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.rejected(ben.user), call.rejected(call.caller), call.accepted(ben.user), call.ended())
    assert await scene.outcomes(call) == {}
    assert scene.seen(ben) == []


async def test_a_call_missed_of_an_unknown_call_gives_its_notice_once(scene):
    ben, jane = await scene.android("ben"), await scene.android("jane")
    call = scene.call(ben, jane)
    await scene.post(call.missed(ben.user), call.missed(jane.user), call.missed())
    assert await scene.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert scene.seen(ben) == scene.seen(jane) == [MISSED]


async def test_a_ring_from_the_future_rings_now(scene):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring(at=time.time() + DAY_S))
    await scene.rings(ben)
    await scene.post(call.accepted(ben.user, at=time.time() + DAY_S), call.ended())
    assert await scene.outcomes(call) == {"ben": ["answered"]}


@pytest.mark.parametrize("age_s", [2 * DAY_S, 10 * 365 * DAY_S], ids=["days", "years"])
async def test_a_ring_that_is_very_old_rings_nobody_and_tells_nobody(scene, age_s):
    ben = await scene.android("ben")
    call = scene.call(ben)
    await scene.post(call.ring(at=time.time() - age_s))
    assert await scene.outcomes(call) == {"ben": ["stale"]}
    assert await scene.drops(call, ben) == ["too_late"]
    assert scene.seen(ben) == []


@pytest.mark.parametrize("ring_ms", [0, -1, None, "soon", DAY_S * 1000])
async def test_a_deadline_of_nothing_or_of_a_day(scene, ring_ms):
    ben = await scene.android("ben")
    call = scene.call(ben, ring_ms=ring_ms)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.ring(at=time.time() - 200))  # longer ago than anything may ring
    await scene.idle()
    assert await scene.drops(call, ben) == ["too_late"]
    await scene.post(call.ended())


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_ids_are_any_text(scene, name):
    jane = await scene.android("jane")
    call = scene.call(name, jane, id=f"{name}{scene.suffix}", session_id=f"{name}:s")
    await scene.post(call.ring())
    await scene.rings(jane)
    await scene.post(call.rejected(name, "busy"), call.missed(name, jane.user))
    assert await scene.outcomes(call) == {name.strip(): ["busy"], "jane": ["missed"]}
    assert scene.seen(jane) == [RING, MISSED]


async def test_two_rings_with_the_same_stamp_are_one_round(scene):
    ben, jane = await scene.android("ben"), await scene.android("jane")
    call, now = scene.call(ben, jane), time.time()
    await scene.post(call.ring(ben.user, at=now), call.ring(at=now), call.ring(jane.user, at=now))
    await scene.rings(ben, jane)
    await scene.post(call.ended())
    assert await scene.outcomes(call) == {"ben": ["ended"], "jane": ["ended"]}
    assert scene.seen(ben) == scene.seen(jane) == [RING, MISSED]


async def test_a_thousand_members(scene):
    ben = await scene.android("ben")
    call = scene.call(*(f"member-{number}" for number in range(999)), ben)
    await scene.post(call.ring())
    await scene.rings(ben)
    await scene.post(call.rejected(call.caller, "cancel"))
    found = await scene.outcomes(call)
    assert len(found) == 1_000
    assert set(map(tuple, found.values())) == {("cancelled",)}
    assert scene.seen(ben) == [RING, MISSED]
