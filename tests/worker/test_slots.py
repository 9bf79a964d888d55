"""How many jobs may be busy at a time: one that only waits makes room."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from worker.queue.concurrency_limit import ConcurrencyLimit, JobSlot


async def waits(slots):
    taker = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    return taker


async def test_a_job_that_only_waits_makes_room_for_another():
    slots = ConcurrencyLimit(limit=1, most=9)
    await slots.acquire()
    slot, taker = JobSlot(slots), await waits(slots)
    assert not taker.done()
    with slot.idle():
        await asyncio.wait_for(taker, 1)
    assert slots.full


async def test_it_is_busy_while_any_of_its_pushes_is():
    slots = ConcurrencyLimit(limit=1, most=9)
    await slots.acquire()
    slot = JobSlot(slots)
    with slot.idle(), slot.busy():
        with slot.busy():
            assert slots.full
        assert slots.full
    assert slots.full
    slots.release()
    assert not slots.full


async def test_however_many_wait_there_is_an_end():
    slots, waiting = ConcurrencyLimit(limit=1, most=2), []
    for _ in range(2):
        await slots.acquire()
        waiting.append(JobSlot(slots).idle())
        waiting[-1].__enter__()
    taker = await waits(slots)
    assert not taker.done()
    slots.count(1)
    slots.release()
    await asyncio.wait_for(taker, 1)


async def test_closing_lets_everybody_go_on():
    slots = ConcurrencyLimit(limit=1, most=1)
    takers = [await waits(slots) for _ in range(3)]
    slots.close()
    await asyncio.wait_for(asyncio.gather(*takers), 1)


@given(st.lists(st.sampled_from(["idle", "busy", "end"]), max_size=30))
def test_whatever_its_parts_do_a_job_counts_once(steps):
    slots = ConcurrencyLimit(limit=1, most=1)
    slot, open_parts = JobSlot(slots), []
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


steps = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 9)),
    st.tuples(st.sampled_from(["end", "wait", "go on"]), st.integers(1, 3)),
)


@given(limit=st.integers(1, 6), beyond=st.integers(0, 4), steps=st.lists(steps, max_size=40))
def test_whoever_begins_gets_at_least_one_and_never_more_than_there_is_room_for(limit, beyond, steps):
    """Jobs begin, several at once, wait for a provider, go on (for which they need no free slot) and end."""

    async def play() -> None:
        most = limit + beyond
        slots = ConcurrencyLimit(limit, most)
        busy = waiting = 0
        for step, number in steps:
            if step == "begin":
                room = min(limit - busy, most - busy - waiting)
                taker = asyncio.ensure_future(slots.acquire(number))
                await asyncio.sleep(0)
                if not taker.done():
                    assert room <= 0, "it waits only while there is no room"
                    taker.cancel()
                    continue
                taken = taker.result()
                assert 1 <= taken <= room
                assert taken == min(number, room), "what there is room for is not left over"
                busy += taken
            elif step == "end":
                slots.release(number := min(number, busy))
                busy -= number
            elif step == "wait":
                slots.count(-(number := min(number, busy)))
                busy, waiting = busy - number, waiting + number
            else:
                slots.count(number := min(number, waiting))
                busy, waiting = busy + number, waiting - number

    asyncio.run(play())


async def test_who_waits_for_several_takes_what_there_is_as_soon_as_there_is_one():
    slots = ConcurrencyLimit(limit=3, most=9)
    assert await slots.acquire(4) == 3
    taker = asyncio.create_task(slots.acquire(4))
    await asyncio.sleep(0)
    assert not taker.done()
    slots.release(2)
    assert await asyncio.wait_for(taker, 1) == 2
    assert slots.full
