"""Suspects run alone, one after the other, and the others go on when the last one has had its time."""

import asyncio

import pytest

from tests.worker.queue.conftest import SOON_S
from worker.queue.isolation import Isolation, alone_s


async def is_over(isolation: Isolation) -> bool:
    try:
        await asyncio.wait_for(isolation.wait_until_over(), 0.01)
    except TimeoutError:
        return False
    return True


async def test_suspects_have_their_turns_one_after_the_other() -> None:
    isolation = Isolation()
    assert await is_over(isolation)
    await isolation.begin(b"first")
    second = asyncio.create_task(isolation.begin(b"second"))
    await asyncio.sleep(0)
    assert not second.done()
    isolation.end(b"first")
    await second
    assert not await is_over(isolation), "the second one runs alone now"
    isolation.end(b"first")  # its time was over, and now its job ends
    assert not await is_over(isolation)
    isolation.end(b"second")
    assert await is_over(isolation)


async def test_an_announced_suspect_holds_up_other_jobs_at_once() -> None:
    isolation = Isolation()
    isolation.announce(b"suspect")
    assert not await is_over(isolation)
    isolation.end(b"suspect")  # another worker has it
    assert await is_over(isolation)


async def test_a_suspect_cancelled_while_it_waits_holds_up_none() -> None:
    isolation = Isolation()
    await isolation.begin(b"first")
    waiting = asyncio.create_task(isolation.begin(b"second"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    isolation.end(b"second")
    isolation.end(b"first")
    assert await is_over(isolation)
    await asyncio.wait_for(isolation.begin(b"third"), SOON_S)


@pytest.mark.parametrize(("suspicions", "seconds"), [(2, 0.25), (3, 0.5), (4, 1.0), (5, 2.0), (2**62, 2.0)])
def test_the_time_alone_grows_up_to_a_limit(suspicions: int, seconds: float) -> None:
    assert alone_s(suspicions) == seconds
