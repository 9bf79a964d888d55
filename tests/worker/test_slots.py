"""How many jobs may be busy at a time: one that only waits makes room."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.slots import Slot, Slots


async def waits(slots):
    taker = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    return taker


async def test_a_job_that_only_waits_makes_room_for_another():
    slots = Slots(limit=1, most=9)
    await slots.acquire()
    slot, taker = Slot(slots), await waits(slots)
    assert not taker.done()
    with slot.idle():
        await asyncio.wait_for(taker, 1)
    assert slots.full


async def test_it_is_busy_while_any_of_its_pushes_is():
    slots = Slots(limit=1, most=9)
    await slots.acquire()
    slot = Slot(slots)
    with slot.idle(), slot.busy():
        with slot.busy():
            assert slots.full
        assert slots.full
    assert slots.full
    slots.release()
    assert not slots.full


async def test_however_many_wait_there_is_an_end():
    slots, waiting = Slots(limit=1, most=2), []
    for _ in range(2):
        await slots.acquire()
        waiting.append(Slot(slots).idle())
        waiting[-1].__enter__()
    taker = await waits(slots)
    assert not taker.done()
    slots.count(1)
    slots.release()
    await asyncio.wait_for(taker, 1)


async def test_closing_lets_everybody_go_on():
    slots = Slots(limit=1, most=1)
    takers = [await waits(slots) for _ in range(3)]
    slots.close()
    await asyncio.wait_for(asyncio.gather(*takers), 1)


@given(st.lists(st.sampled_from(["idle", "busy", "end"]), max_size=30))
def test_whatever_its_parts_do_a_job_counts_once(steps):
    slots = Slots(limit=1, most=1)
    slot, open_parts = Slot(slots), []
    slots._busy, parts = 1, 1
    for step in steps:
        if step == "end" and open_parts:
            part, change = open_parts.pop()
            part.__exit__(None, None, None)
            parts -= change
        elif step == "busy" or (step == "idle" and parts > 0):
            part, change = (slot.busy(), 1) if step == "busy" else (slot.idle(), -1)
            part.__enter__()
            open_parts.append((part, change))
            parts += change
        assert slots._busy == (parts > 0)
