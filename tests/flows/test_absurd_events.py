"""What no app should send and some do: every one of them has a defined result, and none stops anything else."""

import time

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY_S = 24 * 3600
RING, MISSED = "call.ring", "call.missed"
ODD_NAMES = ["a:b", "a|b|1", "a\nb", "Zoë", "\U0001f600", "a b", "*", "%s", '"', "0"]


async def test_a_ring_with_no_members_rings_nobody(flow):
    call = flow.call("nobody")
    await flow.post(call.ring() | {"members": []}, call.ring() | {"members": None})
    await flow.quiet()
    assert await flow.outcomes(call) == {}


async def test_the_caller_among_the_members_is_not_rung(flow):
    sara, ben = await flow.android("sara"), await flow.android("ben")
    call = flow.call(sara, ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.ended())
    assert await flow.outcomes(call) == {"ben": ["ended"]}
    assert flow.seen(sara) == []


async def test_events_of_an_unknown_call(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.rejected(ben.user), call.rejected(call.caller), call.accepted(ben.user), call.ended())
    assert await flow.outcomes(call) == {}
    assert flow.seen(ben) == []


async def test_a_call_missed_of_an_unknown_call_gives_its_notice_once(flow):
    ben, jane = await flow.android("ben"), await flow.android("jane")
    call = flow.call(ben, jane)
    await flow.post(call.missed(ben.user), call.missed(jane.user), call.missed())
    assert await flow.outcomes(call) == {"ben": ["missed"], "jane": ["missed"]}
    assert flow.seen(ben) == flow.seen(jane) == [MISSED]


async def test_a_ring_from_the_future_rings_now(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring(at=time.time() + DAY_S))
    await flow.rings(ben)
    await flow.post(call.accepted(ben.user, at=time.time() + DAY_S), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"]}


@pytest.mark.parametrize("age_s", [3 * 3600, DAY_S - 60], ids=["hours", "a day"])
async def test_a_ring_that_is_very_old_rings_nobody_and_tells_nobody(flow, age_s):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring(at=time.time() - age_s))
    assert await flow.outcomes(call) == {"ben": ["stale"]}
    assert await flow.drops(call, ben) == ["too_late"]
    assert flow.seen(ben) == []


@pytest.mark.parametrize("age_s", [2 * DAY_S, 10 * 365 * DAY_S], ids=["days", "years"])
async def test_a_ring_of_an_earlier_day_is_dropped(flow, age_s):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring(at=time.time() - age_s))
    assert await flow.outcomes(call) == {}
    assert flow.seen(ben) == []
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(ben.user, at=time.time() - age_s), call.accepted(ben.user), call.ended())
    assert await flow.outcomes(call) == {"ben": ["answered"]}


@pytest.mark.parametrize("ring_ms", [0, -1, None, "soon", DAY_S * 1000])
async def test_a_deadline_of_nothing_or_of_a_day(flow, ring_ms):
    ben = await flow.android("ben")
    call = flow.call(ben, ring_ms=ring_ms)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.ring(at=time.time() - 200))  # longer ago than anything may ring
    await flow.idle()
    assert await flow.drops(call, ben) == ["too_late"]
    await flow.post(call.ended())


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_ids_are_any_text(flow, name):
    jane, tablet = await flow.android("jane"), await flow.iphone("jane")
    call = flow.call(name, jane, id=f"{name}{flow.suffix}", session_id=f"{name}:s")
    await flow.post(call.ring())
    await flow.rings(jane, tablet)
    await flow.post(call.rejected(name, "busy"), call.missed(name, jane.user))
    assert await flow.outcomes(call) == {name.strip(): ["busy"], "jane": ["missed"]}
    assert flow.seen(tablet) == [RING, MISSED]


async def test_two_rings_with_the_same_stamp_are_one_round(flow):
    ben, jane = await flow.android("ben"), await flow.android("jane")
    call, now = flow.call(ben, jane), time.time()
    await flow.post(call.ring(ben.user, at=now), call.ring(at=now), call.ring(jane.user, at=now))
    await flow.rings(ben, jane)
    await flow.post(call.ended())
    assert await flow.outcomes(call) == {"ben": ["ended"], "jane": ["ended"]}
    assert flow.seen(ben) == flow.seen(jane) == [RING, MISSED]


async def test_a_thousand_members(flow):
    ben = await flow.android("ben")
    call = flow.call(*(f"member-{number}" for number in range(999)), ben)
    await flow.post(call.ring())
    await flow.rings(ben)
    await flow.post(call.rejected(call.caller, "cancel"))
    found = await flow.outcomes(call)
    assert len(found) == 1_000
    assert set(map(tuple, found.values())) == {("cancelled",)}
    assert flow.seen(ben) == [RING, MISSED]
