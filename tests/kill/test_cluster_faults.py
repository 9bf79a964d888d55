"""What happens to a cluster while phones ring: no acknowledged ring is lost, and the calls of other nodes ring on."""

import asyncio
from collections import Counter

import pytest
import pytest_asyncio

from bellhop.sandbox.installation import Installation
from bellhop.store.homes import partition_with, slot_of
from bellhop.store.keys import call_key
from tests.kill.crowd import KILLS, Crowd, chance
from tests.redis_cluster import RedisCluster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180 + 60 * KILLS)]

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning", "REDIS_WAIT_REPLICAS": "1"}
TURNS = max(1, KILLS // 10)
STAY = ("cluster-replica-no-failover", "yes")
"""How replicas are set: on a busy machine, the others may not hear of a master for seconds, and take it for dead."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, SETTINGS, workers=2)
    installation.redis = RedisCluster(folder, replicas=2, has_proxies=True, options=(f"--{STAY[0]}", STAY[1]))
    async with installation:
        crowd = Crowd(installation)
        await crowd.grow(60)
        yield crowd


async def ring_all(crowd, strike):
    """Ring everybody, and let something happen meanwhile; returns all calls."""
    crowd.answers_take(0.5)
    rings = crowd.calls()
    posting = asyncio.create_task(crowd.post(rings, over_s=2))
    await asyncio.sleep(chance().uniform(0.3, 1.5))
    rings = rings + (await strike() or [])
    await posting
    return rings


async def see_to_the_end(crowd, rings, failed=()):
    """Each call that was acknowledged rings, and ends. `failed`: the partitions of a node that failed.

    Records of accepted pushes that only this node had are lost with it. So phones of its calls may ring twice.
    """
    assert all(ring.taken for ring in rings)
    await crowd.all_rang(rings)
    await crowd.all_settled(rings)
    times = Counter(len(crowd.rang(ring)) for ring in rings)
    partitions = crowd.installation.store.partitions
    may_repeat = [r for r in rings if partition_with(call_key("default", r.call.cid), partitions) in failed]
    twice = [ring for ring in rings if await crowd.repeats(ring) > (ring in may_repeat)]
    assert not twice, (times, await crowd.tell(twice))
    repeated = sum(ring.posts > 1 for ring in rings)
    print(f"{len(rings)} rings, {repeated} posted again; {dict(times)}")
    await asyncio.to_thread(crowd.installation.redis.wait, crowd.installation.redis.is_whole)
    assert all(process.poll() is None for process in crowd.installation.processes.values()), "nothing ended"


FAULTS = {
    "killed": (RedisCluster.kill, RedisCluster.restart),
    "paused": (RedisCluster.pause, RedisCluster.go_on),
    "cut off": (RedisCluster.cut_off, RedisCluster.join),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_node_fails_and_its_replica_takes_over(crowd, fault):
    cluster, (begin, end) = crowd.installation.redis, FAULTS[fault]
    partitions, failed = crowd.installation.store.partitions, set()

    async def strike():
        slot = slot_of(chance().choice(partitions).tag)
        node = cluster.node_of(slot)
        away = {partition for partition in partitions if cluster.node_of(slot_of(partition.tag)) is node}
        failed.update(away)
        rings, replicas = crowd.calls_without(away), cluster.replicas_of(node)
        begin(cluster, node)
        await crowd.post(rings)
        await crowd.all_rang(rings)  # nobody has taken the node's place yet
        for replica in replicas:
            replica.ask("CONFIG", "SET", STAY[0], "no")
        await asyncio.to_thread(cluster.wait_for_promotion, slot, node)
        for replica in replicas:
            replica.ask("CONFIG", "SET", *STAY)
        end(cluster, node)
        return rings

    for _ in range(TURNS):
        await see_to_the_end(crowd, await ring_all(crowd, strike), failed)


async def test_a_replica_takes_over_and_slots_move(crowd):
    cluster, partitions = crowd.installation.redis, crowd.installation.store.partitions

    async def replace_every_master():
        for number in range(3):
            master = cluster.node_of(slot_of(partitions[number * 7].tag))
            await asyncio.to_thread(cluster.failover, cluster.replicas_of(master)[0])

    async def move_three_partitions():
        for partition in partitions[::7]:
            slot = slot_of(partition.tag)
            others = [other for other in map(cluster.node_of, (0, 8191, 16383)) if other is not cluster.node_of(slot)]
            await asyncio.to_thread(cluster.move_slots, [slot], others[0], 10)

    for _ in range(TURNS):
        await see_to_the_end(crowd, await ring_all(crowd, replace_every_master))
        await see_to_the_end(crowd, await ring_all(crowd, move_three_partitions))
