"""Rounds take turns, so a small ring does not wait for all pushes of a large one."""

import asyncio
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.push import PushKind
from worker.delivery.fair_queue import FairQueue, Group
from worker.delivery.fair_turns import FairTurns
from worker.delivery.priority_slots import PrioritySlots

RING = PushKind.RING


def emptied(queue):
    items = []
    while queue:
        items.append(queue.get())
    return items


def test_groups_take_turns():
    queue = FairQueue()
    for number in range(4):
        queue.put(Group("", "large"), f"large {number}")
    queue.put(Group("", "small"), "small")
    assert emptied(queue) == ["large 0", "small", "large 1", "large 2", "large 3"]


def test_tenants_take_turns_whatever_their_groups():
    queue = FairQueue()
    for number in range(3):
        queue.put(Group("a", f"round {number}"), f"a {number}")
    queue.put(Group("b", "round 0"), "b")
    assert emptied(queue) == ["a 0", "b", "a 1", "a 2"]


@given(st.lists(st.sampled_from("abc")))
def test_nothing_is_lost_and_a_group_keeps_its_order(groups):
    queue, items = FairQueue(), list(enumerate(groups))
    for number, group in items:
        queue.put(Group("", group), (number, group))
    served = emptied(queue)
    assert sorted(served) == items
    for group in groups:
        assert [item for item in served if item[1] == group] == [item for item in items if item[1] == group]


async def test_places_go_to_rounds_in_turn():
    slots, order = PrioritySlots(1), []

    async def push(round_):
        async with slots.hold(RING, Group("", round_)):
            order.append(round_)
            await asyncio.sleep(0)

    await asyncio.gather(*map(push, ["large"] * 5 + ["small"] + ["large"] * 5))
    assert order.index("small") <= 2
    assert len(order) == 11


async def test_only_some_pushes_go_on_in_one_turn():
    turns, turn, passed = FairTurns(4), 0, []

    async def push(round_):
        await turns.wait(RING, Group("", round_))
        passed.append((turn, round_))

    rounds = chain.from_iterable(("large", other) for other in range(20))
    everybody = asyncio.gather(*map(push, rounds))
    while not everybody.done():
        await asyncio.sleep(0)
        turn += 1
    turns_used = [turn for turn, _ in passed]
    assert len(passed) == 40
    assert max(map(turns_used.count, turns_used)) <= 4
