"""The blocking client of a Redis Cluster: each command goes to the node that has its partition."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bellhop.store.cluster_map import NO_NODE, READ_AGAIN_S, SLOTS_COMMAND, ClusterMap, Node, away, unsent
from bellhop.store.cluster_sending import NodeBatch, sendings
from bellhop.store.homes import Partition, partitions
from bellhop.store.redis_url import RedisAddress
from bellhop.store.routing import AnyCommand, Routed, merged, route, split, stages
from bellhop.store.scripts import Command, by_digest, names, source
from bellhop.store.sentinel import DEMOTED, LATE_S
from bellhop.store.wrong_redis import count_commands, refuse_other_count, why_no_map

NO_PIPELINE = "a cluster has no pipeline over all nodes: use bellhop.store.blocking_client.together"


class ClusterRedis(Redis):
    """redis-py's client, whose commands go to the nodes that have their keys. For several threads."""

    def __init__(
        self, address: RedisAddress, connect: Callable[[RedisAddress], Redis], *, any_count: bool = False
    ) -> None:
        """`connect` makes the client of one node. `any_count`: another number of partitions may be stored."""
        self._address, self._connect = address, connect
        self.partitions = partitions(address.partitions)
        self._map, self._clients = ClusterMap(address.nodes), dict[Node, Redis]()
        self._reading, self._read_at_s = threading.Lock(), 0.0
        self._no_map: RedisError = RedisConnectionError(NO_NODE)
        """Why the map could not be read."""
        self._fits = any_count
        """Whether the number of partitions is known to be the stored one."""
        super().__init__(connection_pool=self.client_of(Node(*address.nodes[0])).connection_pool)

    @property
    def servers(self) -> Sequence[Redis]:
        """The clients of the nodes that have slots. Raises RedisError if none answers, or if it is no cluster."""
        return [self.client_of(node) for node in self.nodes]

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes that have slots. Raises as `servers` does."""
        if not self._map.nodes:
            self._read_map()
        if not self._map.nodes:
            raise why_no_map(self._no_map)
        return self._map.nodes

    def server_of(self, partition: Partition) -> Redis:
        """Return the client of the node that has a partition. Raises as `servers` does."""
        if not self._fits:
            self._refuse_wrong_redis()
        node = self._map.node_of(partition)
        if node is None:
            raise RedisConnectionError(NO_NODE)
        return self.client_of(node)

    def client_of(self, node: Node) -> Redis:
        """Return the client of one node."""
        if node not in self._clients:
            self._clients[node] = self._connect(self._address.of_node(*node))
        return self._clients[node]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; redis-py's methods call this."""
        (answer,) = self._run([args], in_order=True, options=options)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, commands: Sequence[AnyCommand], *, in_order: bool) -> list[Any]:
        """Run commands; an error is an answer too. WAIT waits for the writes of the command before it."""
        return self._run(commands, in_order=in_order, options={})

    def pipeline(self, *args: Any, **kwargs: Any) -> Any:
        """Raise TypeError."""
        raise TypeError(NO_PIPELINE)

    def close(self) -> None:
        """Close the connections."""
        for client in list(self._clients.values()):
            client.close()

    def _run(self, commands: Sequence[AnyCommand], *, in_order: bool, options: dict[str, Any]) -> list[Any]:
        parts = [split(command, self.partitions) for command in commands]
        routed = route([part for command in parts for part in command], self.partitions)
        answers = iter(self._run_routed(routed, in_order=in_order, options=options))
        return [
            merged(command, [next(answers) for _ in of_command])
            for command, of_command in zip(commands, parts, strict=True)
        ]

    def _run_routed(self, routed: Sequence[Routed], *, in_order: bool, options: dict[str, Any]) -> list[Any]:
        if not self._fits:
            self._refuse_wrong_redis()
        if any(self._map.node_of(part.partition) is None for part in routed):
            self._read_map()
        if not in_order or not routed:
            return self._run_side_by_side(routed, options)
        nodes = [self._map.node_of(part.partition) for part in routed]
        answers: list[Any] = []
        for stage in stages(nodes, [part.reads for part in routed]):
            answers += self._run_side_by_side(routed[stage.start : stage.stop], options)
            if not_sent := unsent(answers, len(routed)):
                return [*answers, *not_sent]
        return answers

    def _refuse_wrong_redis(self) -> None:
        """Raise WrongRedisError if this is not a cluster, or has another number of partitions."""
        count = len(self.partitions)
        if self.nodes:
            refuse_other_count(count, self._run_side_by_side(route(count_commands(count), self.partitions), {}))
        self._fits = True

    def _run_side_by_side(self, routed: Sequence[Routed], options: dict[str, Any]) -> list[Any]:
        steps, answers = sendings(routed, self._map, self.partitions), None
        try:
            while True:
                sending = next(steps) if answers is None else steps.send(answers)
                for node in sending.unknown_scripts:
                    self._load_scripts(node)
                time.sleep(sending.pause_s)
                answers = [self._exchange(batch, options) for batch in sending.batches]
        except StopIteration as end:
            return cast("list[Any]", end.value)

    def _exchange(self, batch: NodeBatch, options: dict[str, Any]) -> list[Any]:
        """Send a batch; returns the answer to each command. If the node is away, the error is each answer."""
        client, sent_at_s = self.client_of(batch.node), time.monotonic()
        try:
            if len(batch.commands) == 1:  # the answer may need the options of redis-py's method
                answers = [client.execute_command(*_sent(batch.commands[0]), **options)]  # type: ignore[no-untyped-call]
            else:
                answers = _in_one_packet(client, batch.commands)
        except RedisError as error:
            answers = [error] * len(batch.commands)
        if any(away(answer) for answer in answers):
            self._read_map(avoid=batch.node)
            return [away(answer) or answer for answer in answers]
        if time.monotonic() - sent_at_s > LATE_S and not batch.asking:
            # The node hung. It may have lost its slots meanwhile, and not know it yet.
            self._read_map(avoid=batch.node)
            if any(self._map.node_of(partition) != batch.node for partition in batch.partitions):
                return [RedisConnectionError(DEMOTED)] * len(answers)
        return answers

    def _load_scripts(self, node: Node) -> None:
        _in_one_packet(self.client_of(node), [("SCRIPT", "LOAD", source(name)) for name in names()])

    def _read_map(self, avoid: Node | None = None) -> None:
        asked_at_s = time.monotonic()
        with self._reading:
            if asked_at_s - self._read_at_s < READ_AGAIN_S:
                return
            for node in self._map.candidates(avoid):
                try:
                    slots = self.client_of(node).execute_command(*SLOTS_COMMAND)  # type: ignore[no-untyped-call]
                except RedisError as error:
                    self._no_map = error
                    continue
                if isinstance(slots, list) and slots:
                    self._map.note(slots, node)
                    break
            self._read_at_s = time.monotonic()


def _sent(command: AnyCommand) -> Sequence[Any]:
    return by_digest(command) if isinstance(command, Command) else command


def _in_one_packet(client: Redis, commands: Sequence[AnyCommand]) -> list[Any]:
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*_sent(command))  # type: ignore[no-untyped-call]
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers
