"""Takes jobs of one queue from all partitions of a cluster.

One command cannot wait for the queues of several partitions. So the worker waits for the bells of each node
(bellhop/store/bells.py): a bell names a partition that has jobs, and wakes one worker. If more jobs wait there than the
worker takes, it rings the bell again. A bell that is lost does no harm: each renewal of a lease looks for jobs too.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.cluster_map import Node
from bellhop.store.cluster_store import ClusterStore
from bellhop.store.homes import Partition
from bellhop.store.retry import is_away
from worker.queue.background import keep_running
from worker.queue.job_store import log_refusal_and_pause
from worker.queue.job_taker import JobTaker

BELL_WAIT_S, BELL_ANSWER_S = Seconds(5.0), Seconds(6.0)
"""How long one command waits for a bell, and how long the node may take to answer it, the wait included."""
NODES_EVERY_S = 0.2
"""How often the worker compares the nodes that it waits for with those of the cluster."""
AWAY_PAUSE_S = 0.1
"""Pause after a node did not answer."""


class BellTaker:
    """Takes jobs of one queue until the worker is `stopping`."""

    def __init__(
        self,
        store: ClusterStore,
        queue: str,
        takers: Mapping[Partition, JobTaker],
        waiting: Mapping[Partition, asyncio.Event],
        stopping: asyncio.Event,
    ) -> None:
        """`store` knows the nodes: the worker's leases use it all the time.

        `waiting`: by partition, what is set while jobs wait there, as far as the lease has found out.
        """
        self._store, self._queue, self._takers, self._waiting = store, queue, takers, waiting
        self._stopping = stopping
        self._takes: set[asyncio.Task[None]] = set()

    async def keep_taking(self) -> None:
        """Take jobs until this worker stops. Waits are interrupted then, and takes are not."""
        renewals = [partial(self._follow_renewals, partition) for partition in self._takers]
        tasks = [asyncio.create_task(keep_running(follow)) for follow in renewals]
        tasks.append(asyncio.create_task(keep_running(self._follow_nodes)))
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._takes, return_exceptions=True)

    async def _follow_nodes(self) -> None:
        """Wait for the bells of each node that has partitions, as long as it has them."""
        following: dict[tuple[Node, Partition], asyncio.Task[None]] = {}
        try:
            while True:
                nodes = self._store.bell_nodes
                for gone in following.keys() - nodes:
                    following.pop(gone).cancel()
                for node, bell_of in nodes - following.keys():
                    task = asyncio.create_task(keep_running(partial(self._follow_bells, node)))
                    following[node, bell_of] = task
                await asyncio.sleep(NODES_EVERY_S)
        finally:
            for task in following.values():
                task.cancel()

    async def _follow_bells(self, node: Node) -> None:
        """Take jobs from each partition that a bell of the node names."""
        bells = self._store.bells(node, BELL_ANSWER_S)
        try:
            while True:
                await self._until_ready()
                try:
                    rung = await bells.wait([self._queue], BELL_WAIT_S)
                except RedisError as error:
                    if is_away(error):  # the lease logs that
                        await asyncio.sleep(AWAY_PAUSE_S)
                    else:
                        await log_refusal_and_pause("BZPOPMIN", error)
                    continue
                if rung is not None and rung[1] in self._takers:
                    await self._finished(self._take_from(rung[1]))
        finally:
            await bells.close()

    async def _until_ready(self) -> None:
        """Wait until jobs may begin. That is the same in all partitions."""
        await next(iter(self._takers.values())).until_ready()

    async def _follow_renewals(self, partition: Partition) -> None:
        """Take jobs that a renewal of the lease has found: their bell was lost, or all workers are busy."""
        waiting, taker = self._waiting[partition], self._takers[partition]
        while True:
            await waiting.wait()
            waiting.clear()
            if not taker.is_taking:
                await self._finished(self._take_from(partition))

    async def _take_from(self, partition: Partition) -> None:
        taker = self._takers[partition]
        if await taker.take_waiting():
            self._begin(self._ring_again(partition, taker.again_s))  # the bells of other partitions do not wait for it

    async def _ring_again(self, partition: Partition, after_s: Seconds) -> None:
        await asyncio.sleep(after_s)
        with contextlib.suppress(RedisError):
            await self._store.ring_bell(self._queue, partition)

    async def _finished(self, take: Coroutine[Any, Any, None]) -> None:
        """Wait for a take. It goes on if this wait is cancelled."""
        await asyncio.shield(self._begin(take))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin work that this worker ends before it stops."""
        task = asyncio.create_task(work)
        self._takes.add(task)
        task.add_done_callback(self._takes.discard)
        return task
