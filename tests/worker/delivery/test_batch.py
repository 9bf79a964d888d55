"""Items of one turn are processed by one call, and a cancelled caller does not affect the others."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.waiting import come_true
from worker.delivery.batch import Batch


class Doubler:
    """Answers each item with its double, while `may_answer` is set."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.answered: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        self.answered.append(items)
        return [2 * item for item in items]


@pytest.fixture(autouse=True)
async def no_unhandled_errors() -> AsyncIterator[None]:
    """No exception may be left to the event loop."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    yield
    gc.collect()  # a task reports its exception when it is collected
    assert unhandled == []


AT_ONCE_S = 5
UNDER_WAY = 4
"""Turns of the event loop after which a call is under way."""


async def hand_in(batch: Batch[int, int], *items: int, turns: int = UNDER_WAY) -> list[asyncio.Task[int]]:
    """Hand in each item from a task of its own, all in one turn, and let so many turns pass."""
    tasks = [asyncio.ensure_future(batch(item)) for item in items]
    for _ in range(turns):
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("shielded", [False, True])
async def test_items_of_one_turn_share_a_call(shielded):
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=shielded)
    assert await asyncio.gather(*(batch(item) for item in (3, 1, 2))) == [6, 2, 4]
    assert doubler.calls == [[3, 1, 2]]


async def test_an_item_does_not_wait_for_an_earlier_call():
    doubler = Doubler()
    batch = Batch(doubler, 100)
    doubler.may_answer.clear()
    tasks = await hand_in(batch, 1, 2) + await hand_in(batch, 3, 4)
    assert doubler.calls == [[1, 2], [3, 4]]
    doubler.may_answer.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8]


@pytest.mark.parametrize("shielded", [False, True])
async def test_no_call_exceeds_the_limit_and_no_item_is_lost(shielded):
    doubler = Doubler()
    batch = Batch(doubler, 3, shielded=shielded)
    assert await asyncio.gather(*(batch(item) for item in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert doubler.calls == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("shielded", [False, True])
async def test_single_items_are_answered_one_after_another(shielded):
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=shielded)
    assert [await batch(item) for item in (1, 2)] == [2, 4]
    assert doubler.calls == [[1], [2]]


@pytest.mark.parametrize("items", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("shielded", [False, True])
async def test_an_error_reaches_every_caller_of_its_turn_only(items, shielded):
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=shielded)
    doubler.error = ConnectionError("Redis is away")
    found = await asyncio.gather(*(batch(item) for item in items), return_exceptions=True)
    assert found == [doubler.error] * len(items)
    doubler.error = None
    assert await batch(4) == 8


async def test_an_error_of_one_call_does_not_reach_others():
    async def answer(items: list[int]) -> list[int]:
        if 2 in items:
            raise ConnectionError("Redis is away")
        return items

    batch = Batch(answer, 2)
    found = await asyncio.gather(*(batch(item) for item in range(6)), return_exceptions=True)
    assert [type(answer) for answer in found] == [int, int, ConnectionError, ConnectionError, int, int]


@pytest.mark.parametrize("items", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("turns", [1, UNDER_WAY])
async def test_a_shielded_item_is_answered_after_a_cancellation(items, turns):
    """Before the call leaves, and while it is under way."""
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=True)
    doubler.may_answer.clear()
    tasks = await hand_in(batch, *items, turns=turns)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    doubler.may_answer.set()
    await come_true(lambda: doubler.answered)
    assert doubler.answered == doubler.calls == [list(items)]


@pytest.mark.parametrize("turns", [1, UNDER_WAY])
@pytest.mark.parametrize("shielded", [False, True])
async def test_a_cancelled_item_leaves_the_others_their_answers(turns, shielded):
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=shielded)
    doubler.may_answer.clear()
    tasks = await hand_in(batch, 1, 2, 3, turns=turns)
    tasks[1].cancel()
    doubler.may_answer.set()
    first, second, third = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), AT_ONCE_S)
    assert (first, type(second), third) == (2, asyncio.CancelledError, 6)


@pytest.mark.parametrize("shielded", [False, True])
async def test_a_cancelled_item_leaves_the_others_their_error(shielded):
    doubler = Doubler()
    batch = Batch(doubler, 100, shielded=shielded)
    doubler.may_answer.clear()
    tasks = await hand_in(batch, 1, 2, 3)
    tasks[0].cancel()
    doubler.error = ConnectionError("Redis is away")
    doubler.may_answer.set()
    first, *others = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), AT_ONCE_S)
    assert isinstance(first, asyncio.CancelledError)
    assert others == [doubler.error] * 2


async def test_a_cancelled_single_item_delays_no_other():
    doubler = Doubler()
    batch = Batch(doubler, 100)
    doubler.may_answer.clear()
    for turns in range(UNDER_WAY + 1):
        [task] = await hand_in(batch, 1, turns=turns)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    doubler.may_answer.set()
    assert await asyncio.wait_for(batch(2), AT_ONCE_S) == 4
