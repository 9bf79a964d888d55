"""How many jobs a worker has in memory at a time."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.queue.conftest import SOON_S
from worker.queue.concurrency_limit import ConcurrencyLimit


async def test_closing_lets_every_waiting_job_begin():
    limit = ConcurrencyLimit(1)
    await limit.acquire()
    waiting = [asyncio.create_task(limit.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    limit.close()
    await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)


async def test_it_may_be_exceeded_and_then_waits_until_there_is_room():
    limit = ConcurrencyLimit(2)
    limit.take(3)
    waiting = asyncio.create_task(limit.acquire())
    limit.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    limit.release()
    assert await asyncio.wait_for(waiting, SOON_S) == 1
    assert limit.full


steps = st.tuples(st.sampled_from(["begin", "end"]), st.integers(1, 9))


@given(most=st.integers(1, 6), steps=st.lists(steps, max_size=40))
def test_a_job_begins_only_where_there_is_room(most, steps):
    """Jobs begin, several at once, and end."""

    async def play() -> None:
        limit, jobs = ConcurrencyLimit(most), 0
        for step, number in steps:
            if step == "end":
                limit.release(ended := min(number, jobs))
                jobs -= ended
                continue
            room = most - jobs
            begins = asyncio.ensure_future(limit.acquire(number))
            await asyncio.sleep(0)
            if not begins.done():
                assert room <= 0, "it waits only while there is no room"
                begins.cancel()
                continue
            assert begins.result() == min(number, room), "at least one, and all that there is room for"
            jobs += begins.result()

    asyncio.run(play())


async def test_waiting_for_several_slots_takes_the_free_ones_at_once():
    limit = ConcurrencyLimit(3)
    assert await limit.acquire(4) == 3
    waiting = asyncio.create_task(limit.acquire(4))
    await asyncio.sleep(0)
    assert not waiting.done()
    limit.release(2)
    assert await asyncio.wait_for(waiting, SOON_S) == 2
    assert limit.full


async def test_at_most_as_many_places_as_there_are_are_lent():
    """So the number of jobs in memory has a limit, however many of them only wait."""
    limit = ConcurrencyLimit(2)
    limit.take(2)
    assert [limit.lend() for _ in range(3)] == [True, True, False]
    limit.take(2)
    assert limit.full
    limit.release()
    limit.take_back()
    assert limit.full
    assert limit.lend()
