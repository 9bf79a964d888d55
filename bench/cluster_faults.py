"""A master of a Redis Cluster is killed while phones ring: how long rings take that need nothing from it, and when its
own calls ring again.

    python -m bench.cluster_faults [--turns 3]

Three masters with two replicas each, and BELLHOP_REDIS_WAIT_REPLICAS=1. Each event is posted again 0.25 s after a 503.
The goals: the p50 of the others stays within 2x and the p99 within 3x, and the first ring comes within 1 s of the
promotion.
"""

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bellhop.sandbox.installation import Installation
from bellhop.store.homes import slot_of
from bench.machine import told
from bench.whole import percentiles
from tests.kill.crowd import Crowd, Ring
from tests.redis_cluster import RedisCluster

PEOPLE, RATE, PHASE_S = 200, 20, 5.0


@asynccontextmanager
async def on_a_cluster() -> AsyncIterator[tuple[Crowd, RedisCluster]]:
    """Start an installation with a crowd of users."""
    with tempfile.TemporaryDirectory() as name:
        here = Installation(Path(name), {"LOG_LEVEL": "warning", "REDIS_WAIT_REPLICAS": "1", "MISSED_GRACE_S": "300"})
        cluster = RedisCluster(Path(name) / "cluster", replicas=2)
        here.redis = cluster  # type: ignore[assignment]
        async with here:
            crowd = Crowd(here)
            await crowd.grow(PEOPLE)
            yield crowd, cluster


async def ring_for(crowd: Crowd, rings: list[Ring], end: asyncio.Event) -> list[float]:
    """Let calls ring at a steady rate until the end; returns the seconds from the post to the push of each."""
    posted, posting = dict[str, tuple[Ring, float]](), []
    while not end.is_set():
        ring = rings.pop()
        posted[ring.call.cid] = ring, time.time()
        posting.append(asyncio.create_task(crowd.post([ring])))
        await asyncio.sleep(1 / RATE)
    await asyncio.gather(*posting)
    await crowd.all_rang([ring for ring, _ in posted.values()])
    return [crowd.rang(ring)[0] - at_s for ring, at_s in posted.values()]


async def turn(crowd: Crowd, cluster: RedisCluster, times_s: dict[str, list[float]]) -> float:
    """Kill a master; returns the seconds from the promotion to the first ring that needed it."""
    partitions = crowd.installation.store.partitions
    node = cluster.node_of(slot_of(partitions[0].tag))
    away = {partition for partition in partitions if cluster.node_of(slot_of(partition.tag)) is node}
    others = [ring for _ in range(20) for ring in crowd.calls_without(away)]
    its_own = [ring for ring in crowd.calls() if crowd.needed_by(ring) & away]

    async def phase(name: str, end: asyncio.Event) -> None:
        times_s[name] += await ring_for(crowd, others, end)

    async def for_a_while(name: str) -> None:
        end = asyncio.Event()
        asyncio.get_running_loop().call_later(PHASE_S, end.set)
        await phase(name, end)

    await for_a_while("before")
    cluster.kill(node)
    promoted = asyncio.Event()
    under = asyncio.create_task(phase("under", promoted))
    posting = asyncio.create_task(crowd.post(its_own[:10], over_s=1))
    await asyncio.to_thread(cluster.wait_for_promotion, slot_of(partitions[0].tag), node)
    promoted_at_s = time.time()
    promoted.set()
    await asyncio.gather(under, posting)
    await crowd.all_rang(its_own[:10])
    await for_a_while("after")
    cluster.restart(node)
    await asyncio.to_thread(cluster.wait, cluster.is_whole)
    return min(at_s for ring in its_own[:10] for at_s in crowd.rang(ring) if at_s > promoted_at_s) - promoted_at_s


async def main(turns: int) -> None:
    """Measure, and print the figures."""
    print(told())
    times_s: dict[str, list[float]] = defaultdict(list)
    async with on_a_cluster() as (crowd, cluster):
        again_s = [await turn(crowd, cluster, times_s) for _ in range(turns)]
    for name, seconds in times_s.items():
        print(f"calls of other nodes, {name}: {percentiles(seconds)} ({len(seconds)} rings)")
    print("from the promotion to the first ring:", ", ".join(f"{seconds:.2f} s" for seconds in again_s))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    asyncio.run(main(parser.parse_args().turns))
