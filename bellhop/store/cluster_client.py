"""The asynchronous client of a Redis Cluster: each command goes to the node that has its partition.

One connection a node, which all callers share, as with one server. A node that has not run a command says so: the
command is sent again. A node that is away raises an error, and its callers repeat, as with one server.
"""

import asyncio
import time
from collections.abc import Hashable, Sequence, Set
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.bells import bell_command
from bellhop.store.cluster_map import (
    NO_NODE,
    READ_AGAIN_S,
    SILENT,
    SLOTS_COMMAND,
    ClusterMap,
    Node,
    SilentNodes,
    away,
    why_again,
)
from bellhop.store.cluster_sending import NodeBatch, Sendings, sendings, sendings_in_order
from bellhop.store.homes import Partition, partition_with, partitions
from bellhop.store.keys import bell_key
from bellhop.store.redis_url import RedisAddress
from bellhop.store.routing import WITHOUT_KEYS, Routed, plan, route
from bellhop.store.scripts import AnyCommand
from bellhop.store.sentinel import LATE_S
from bellhop.store.single_server import SingleServer
from bellhop.store.wrong_redis import count_commands, refuse_other_count, why_no_map


class ClusterServers:
    """The nodes of a cluster; made without I/O. `bellhop.store.async_client.Store` says what its members do."""

    def __init__(self, address: RedisAddress, connections: int, timeout_s: Seconds) -> None:
        self.partitions = partitions(address.partitions)
        self._address, self._connections, self._timeout_s = address, connections, timeout_s
        self._map = ClusterMap(address.nodes)
        self._servers: dict[Node, SingleServer] = {}
        self._silent = SilentNodes(Seconds(0.0), timeout_s)
        self._reading, self._read_at_s = asyncio.Lock(), 0.0
        self._no_map: RedisError = RedisConnectionError(NO_NODE)
        """Why the map could not be read."""
        self._fits = address.any_count
        """Whether the number of partitions is known to be the stored one."""

    async def together(self, *commands: AnyCommand, in_order: bool = True, own: Partition | None = None) -> list[Any]:
        """Run commands on the nodes that have their keys; `own`: the partition of keys that each partition has."""
        if own is None and len(commands) == 1 and commands[0][0] in WITHOUT_KEYS:
            own = self._anywhere()
        routed, answers_of = plan(commands, self.partitions, own)
        answers = answers_of(await self._run_routed(routed, in_order=in_order))
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    def _anywhere(self) -> Partition:
        """Return a partition whose node answers: for a command that any node can run."""
        return next((partition for partition in self.partitions if self._answers(partition)), self.partitions[0])

    def _answers(self, partition: Partition) -> bool:
        node = self._map.node_of(partition)
        server = self._servers.get(node) if node else None
        return server is not None and server.connection is not None and server.behind_s < LATE_S

    def connection(self, own: Partition | None) -> Hashable:
        """Name the open connection to the node that has a partition, by default the first."""
        node = self._map.node_of(own or self.partitions[0])
        number = self._servers[node].connection if node in self._servers else None
        return None if number is None else (node, number)

    def server_of_key(self, key: str) -> Hashable:
        """Return the node that has a key; its partition if the node is not known."""
        partition = partition_with(key, self.partitions)
        return self._map.node_of(partition) or partition

    @property
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""
        return max((server.behind_s for server in self._servers.values()), default=0.0)

    def new_connection(self) -> AbstractConnection:
        """Make a connection to any node: each gives what is published on any other."""
        return self._server(self._map.candidates()[0]).new_connection()

    @property
    def bell_nodes(self) -> Set[tuple[Node, Partition]]:
        """The nodes that have partitions, each with the partition whose keys are its bells."""
        return {(node, bell_of) for node in self._map.nodes if (bell_of := self.bell_of(node))}

    def bell_of(self, node: Node) -> Partition | None:
        """Return the partition whose keys are the bells of a node; None if the node has no partition."""
        return self._map.first_partition_of(node, self.partitions)

    async def ring_bell(self, queue: str, partition: Partition) -> None:
        """Wake a worker for the jobs in a queue of a partition. Raises as the store does."""
        node = self._map.node_of(partition)
        bell_of = self.bell_of(node) if node else None
        if bell_of:
            await self.together(bell_command(bell_of, queue, partition))

    def bells(self, node: Node, timeout_s: Seconds) -> "Bells":
        """Return what waits for the bells of a node. `timeout_s` must be longer than it waits."""
        server = SingleServer.of(self._address.of_node(*node), connections=1, timeout_s=timeout_s)
        return Bells(self, node, server)

    async def load_scripts(self) -> None:
        """Load every script into each node."""
        await self.read_map()
        await asyncio.gather(*(self._server(node).load_scripts() for node in self._map.nodes))

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def _run_routed(self, routed: Sequence[Routed], *, in_order: bool) -> list[Any]:
        if not routed:
            return []
        if not self._fits:
            await self._refuse_wrong_redis()
        if any(self._map.node_of(part.partition) is None for part in routed):
            await self.read_map()
        order = sendings_in_order if in_order else sendings
        return await self._send(order(routed, self._map, self.partitions))

    async def _refuse_wrong_redis(self) -> None:
        """Raise WrongRedisError if this is not a cluster, or has another number of partitions."""
        await self.read_map()
        if not self._map.nodes:
            raise why_no_map(self._no_map)
        count = len(self.partitions)
        routed = route(count_commands(count), self.partitions)
        refuse_other_count(count, await self._send(sendings(routed, self._map, self.partitions)))
        self._fits = True

    async def _send(self, to_send: Sendings) -> list[Any]:
        """Send commands until each has run, or its node is away; returns their answers."""
        answers = None
        try:
            while True:
                sending = next(to_send) if answers is None else to_send.send(answers)
                if sending.unknown_scripts:
                    await asyncio.gather(*(self._server(node).load_scripts() for node in sending.unknown_scripts))
                if sending.pause_s:
                    await asyncio.sleep(sending.pause_s)
                if len(sending.batches) == 1:  # most of the time: it needs no task
                    answers = [await self._exchange(sending.batches[0])]
                else:
                    answers = await asyncio.gather(*map(self._exchange, sending.batches))
        except StopIteration as end:
            return cast("list[Any]", end.value)

    async def _exchange(self, batch: NodeBatch) -> list[Any]:
        """Send a batch; returns the answer to each command. If the node is away, the error is each answer."""
        sent_at_s = time.monotonic()
        if self._silent.may_ask(batch.node):
            answers = await self._ask(batch)
        else:
            answers = [RedisConnectionError(SILENT)] * len(batch.commands)
        if any(away(answer) for answer in answers):
            await self.read_map(avoid=batch.node)
            return [away(answer) or answer for answer in answers]
        if time.monotonic() - sent_at_s > LATE_S and not batch.asking:
            await self.read_map(avoid=batch.node)
            return batch.confirmed(answers, self._map)
        return answers

    async def _ask(self, batch: NodeBatch) -> list[Any]:
        answers: list[Any] = []
        try:
            answers = await self._server(batch.node).together(*batch.commands, raises=False)
        except RedisError as error:
            answers = [error] * len(batch.commands)
        finally:  # also if the caller is cancelled
            self._silent.note(batch.node, answers)
        return answers

    async def read_map(self, avoid: Node | None = None) -> None:
        """Ask the nodes where the slots are, at most every `READ_AGAIN_S`. `avoid`: a node that may not know it."""
        asked_at_s = time.monotonic()
        async with self._reading:
            if asked_at_s - self._read_at_s < READ_AGAIN_S:  # perhaps somebody else has just read it
                return
            asking = [asyncio.create_task(self._slots_of(node)) for node in self._map.candidates(avoid)]
            try:
                for answer in asyncio.as_completed(asking, timeout=self._timeout_s):
                    node, slots = await answer
                    if slots:
                        self._map.note(slots, node)
                        break
            except TimeoutError:
                pass
            finally:
                for task in asking:
                    task.cancel()
                self._read_at_s = time.monotonic()
            await self._close_connections_to_former_nodes()

    async def _close_connections_to_former_nodes(self) -> None:
        former = [node for node in self._servers if node not in {*self._map.nodes, *self._address.nodes}]
        await asyncio.gather(*(self._servers.pop(node).close() for node in former))

    async def _slots_of(self, node: Node) -> tuple[Node, Any]:
        try:
            slots = await self._server(node).call(*SLOTS_COMMAND)
        except RedisError as error:
            slots = error
        if isinstance(slots, RedisError):
            self._no_map = slots
        return node, slots if isinstance(slots, list) else None

    def _server(self, node: Node) -> SingleServer:
        if node not in self._servers:
            address = self._address.of_node(*node)
            self._servers[node] = SingleServer.of(address, connections=self._connections, timeout_s=self._timeout_s)
        return self._servers[node]


class Bells:
    """Waits for the bells of one node, on a connection of its own (bellhop/store/bells.py)."""

    def __init__(self, servers: ClusterServers, node: Node, server: SingleServer) -> None:
        self._servers, self.node, self._server = servers, node, server

    async def wait(self, queues: Sequence[str], wait_s: Seconds) -> tuple[str, Partition] | None:
        """Wait until jobs are queued, up to `wait_s`; returns the queue and the partition. None: no bell rang.

        Raises as the store does, also if the node has no partition any more.
        """
        bell_of = self._servers.bell_of(self.node)
        if bell_of is None:
            raise RedisConnectionError(NO_NODE)
        keys = {bell_of.key(bell_key(queue)): queue for queue in queues}
        (answer,) = await self._server.together(("BZPOPMIN", *keys, wait_s), raises=False)
        if isinstance(answer, RedisError):
            if not (away(answer) or why_again(answer)):
                raise answer
            await self._servers.read_map(avoid=self.node)
            raise RedisConnectionError(str(answer))
        return (keys[answer[0].decode()], Partition(answer[1].decode())) if answer else None

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()
