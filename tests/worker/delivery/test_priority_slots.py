"""The places of a channel: rings first, always."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.push import PushKind
from worker.delivery.priority_slots import PrioritySlots

RING, NOTICE = PushKind.RING, PushKind.MISSED


async def serve(kinds, limit, cancelled=()):
    """Let these wait for one place after another; returns the order in which they were served."""
    slots, order = PrioritySlots(limit), []
    opened = asyncio.Event()

    async def one(number, kind):
        async with slots.hold(kind):
            order.append((number, kind))
            await asyncio.sleep(0)

    async def hold_all():
        async with slots.hold(RING):
            await opened.wait()

    holders = [asyncio.create_task(hold_all()) for _ in range(limit)]
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(one(number, kind)) for number, kind in enumerate(kinds)]
    await asyncio.sleep(0)
    for number in cancelled:
        tasks[number].cancel()
    opened.set()
    await asyncio.gather(*holders, *tasks, return_exceptions=True)
    async with asyncio.timeout(5), slots.hold(NOTICE):
        pass  # no place was lost
    return order


@given(st.lists(st.sampled_from([RING, NOTICE]), max_size=40), st.integers(1, 5), st.data())
def test_rings_are_served_first_and_else_by_arrival(kinds, limit, data):
    cancelled = data.draw(st.sets(st.integers(0, len(kinds) - 1), max_size=5)) if kinds else set()
    waiting = [(number, kind) for number, kind in enumerate(kinds) if number not in cancelled]
    order = asyncio.run(serve(kinds, limit, cancelled))
    assert order == sorted(waiting, key=lambda served: (served[1] is not RING, served[0]))


async def test_notices_never_hold_every_place():
    slots, hanging = PrioritySlots(4), asyncio.Event()

    async def hang():
        async with slots.hold(NOTICE):
            await hanging.wait()

    notices = [asyncio.create_task(hang()) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5), slots.hold(RING):
        hanging.set()
    await asyncio.gather(*notices)


async def test_a_single_place_serves_notices_too():
    slots = PrioritySlots(1)
    async with asyncio.timeout(5), slots.hold(NOTICE):
        pass


@pytest.mark.parametrize("kind", [PushKind.SECOND_RING, PushKind.ALERT_RING])
async def test_every_push_that_rings_goes_before_notices(kind):
    served = await serve([NOTICE, NOTICE, kind], 1)
    assert [kind for _, kind in served] == [kind, NOTICE, NOTICE]
