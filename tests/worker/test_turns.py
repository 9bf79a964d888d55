"""A call with many people is settled in parts: other rings of the same worker do not wait for all of it."""

import asyncio
import time

from bellhop.clock import Micros, Seconds
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.stored_call import read_call
from bench.busy_calls import BusyCall
from worker.call_reading import final_in
from worker.derived_notices import DerivedNotices
from worker.turns import AT_ONCE, in_turns

GRACE_US = Micros(5_000_000)
ROUNDS, MEMBERS = 5, 100


async def turns_during(work) -> int:
    """Count the turns of the event loop that another task gets meanwhile."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    await work
    task.cancel()
    return turns


async def test_long_work_is_done_in_order_and_in_turns():
    done = []

    async def work() -> None:
        async for item in in_turns(range(1_000), at_once=10):
            done.append(item)

    assert await turns_during(work()) >= 99
    assert done == list(range(1_000))


async def test_a_call_with_many_rounds_is_settled_in_turns(store, redis_client):
    call = SampleCall(members=tuple(f"user-{number}" for number in range(MEMBERS)))
    busy, began_s = BusyCall(store, redis_client, call), time.time() - 10
    for number in range(ROUNDS):
        busy.post(call.ring(at=Seconds(began_s + number)))
    busy.post(call.rejected(call.caller, at=Seconds(began_s + ROUNDS)))
    stored = await read_call(store, "default", call.cid)
    found = []

    async def work() -> None:
        found.append(await final_in(store, "default", call.cid, stored, GRACE_US))

    least = ROUNDS * MEMBERS // AT_ONCE - 1
    assert await turns_during(work()) >= least
    assert len(found[0].settlements) == ROUNDS * MEMBERS
    assert await turns_during(DerivedNotices(store, None).held_up(found[0], asked=False)) >= least
