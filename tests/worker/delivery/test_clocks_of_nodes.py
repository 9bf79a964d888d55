"""Each node of a Redis Cluster has a clock of its own. A ring is over by the clock of the node that has its call."""

import pytest

from bellhop.clock import Seconds
from bellhop.domain.clock_offset import ClockOffset
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import PushKind
from bellhop.store import clock_differences, registry
from bellhop.store.async_client import Store
from bellhop.store.homes import names_of, partition_with
from bellhop.store.keys import call_key, lease_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.steps import run_steps
from tests.factories import a_device, a_push, a_queued_round
from tests.redis_servers import empty
from worker.delivery.fence import Fence


@pytest.fixture
async def store(cluster):
    empty(cluster)
    store = Store.from_url(cluster.url)
    for lease in names_of(lease_key("w-1"), store.partitions):
        await store.call("SET", lease, 1)
    yield store
    await store.close()


async def test_a_node_whose_clock_is_ahead_lets_no_other_ring_late(store):
    calls = {cid: call_key("default", cid) for cid in (f"default:{number}" for number in range(50))}
    first, *others = calls
    elsewhere = next(cid for cid in others if store.server_of_key(calls[cid]) != store.server_of_key(calls[first]))
    ahead = clock_differences.write("default", ClockOffset(65_000_000), partition_with(calls[first], store.partitions))
    for command in ahead:
        await store.call(*command)
    phone, clock = a_device(), RedisClock()
    await run_steps(registry.register("default", phone), store)

    async def may_ring(cid, ago_s):
        round_ = a_queued_round(cid=cid, ago_s=ago_s, for_s=30)
        push = a_push(phone, deadline=round_.deadline)
        return (await Fence(store, "w-1", PushKind.RING, round_, clock=clock).admit(push, Seconds(3.0))).refusal

    assert await may_ring(first, ago_s=65) is None
    assert await may_ring(elsewhere, ago_s=40) is Outcome.TOO_LATE
