"""The blocking client of a Redis Cluster: each command goes to the node that has its partition."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.cluster_map import (
    NO_NODE,
    READ_AGAIN_S,
    SILENT,
    SLOTS_COMMAND,
    ClusterMap,
    Node,
    SilentNodes,
    away,
)
from bellhop.store.cluster_sending import NodeBatch, Sendings, sendings, sendings_in_order
from bellhop.store.homes import Partition, partitions
from bellhop.store.redis_url import RedisAddress
from bellhop.store.routing import WITHOUT_KEYS, plan, route
from bellhop.store.scripts import AnyCommand, Command, by_digest, names, source
from bellhop.store.sentinel import LATE_S
from bellhop.store.wrong_redis import count_commands, refuse_other_count, why_no_map

SILENT_S = Seconds(1.0)
"""How long nobody asks a node again that gave no answer in time: each question costs a time-out."""
NO_PIPELINE = "a cluster has no pipeline over all nodes: use bellhop.store.blocking_client.together"


class ClusterRedis(Redis):
    """redis-py's client, whose commands go to the nodes that have their keys. For several threads."""

    def __init__(self, address: RedisAddress, connect: Callable[[RedisAddress], Redis]) -> None:
        """`connect` makes the client of one node."""
        self._address, self._connect = address, connect
        self.partitions = partitions(address.partitions)
        self._map, self._clients = ClusterMap(address.nodes), dict[Node, Redis]()
        self._silent = SilentNodes(SILENT_S, SILENT_S)
        self._reading, self._read_at_s = threading.Lock(), 0.0
        self._no_map: RedisError = RedisConnectionError(NO_NODE)
        """Why the map could not be read."""
        self._fits = address.any_count
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
        tried: Sequence[Partition | None] = self._a_partition_of_each_node() if args[0] in WITHOUT_KEYS else ()
        for own in tried or [None]:
            (answer,) = self._run([args], in_order=True, options=options, own=own)
            if not away(answer):
                break
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

    def _a_partition_of_each_node(self) -> list[Partition]:
        """Return where a command may run that any node can run, in the order in which to try."""
        nodes = sorted(self.nodes, key=lambda node: node in self._silent)
        partitions = (self._map.first_partition_of(node, self.partitions) for node in nodes)
        return [partition for partition in partitions if partition]

    def _run(
        self,
        commands: Sequence[AnyCommand],
        *,
        in_order: bool,
        options: dict[str, Any],
        own: Partition | None = None,
    ) -> list[Any]:
        routed, answers_of = plan(commands, self.partitions, own)
        if not self._fits:
            self._refuse_wrong_redis()
        if any(self._map.node_of(part.partition) is None for part in routed):
            self._read_map()
        order = sendings_in_order if in_order and routed else sendings
        return answers_of(self._send(order(routed, self._map, self.partitions), options))

    def _refuse_wrong_redis(self) -> None:
        """Raise WrongRedisError if this is not a cluster, or has another number of partitions."""
        count = len(self.partitions)
        if self.nodes:
            routed = route(count_commands(count), self.partitions)
            refuse_other_count(count, self._send(sendings(routed, self._map, self.partitions), {}))
        self._fits = True

    def _send(self, to_send: Sendings, options: dict[str, Any]) -> list[Any]:
        """Send commands until each has run, or its node is away; returns their answers."""
        answers = None
        try:
            while True:
                sending = next(to_send) if answers is None else to_send.send(answers)
                for node in sending.unknown_scripts:
                    self._load_scripts(node)
                time.sleep(sending.pause_s)
                answers = [self._exchange(batch, options) for batch in sending.batches]
        except StopIteration as end:
            return cast("list[Any]", end.value)

    def _exchange(self, batch: NodeBatch, options: dict[str, Any]) -> list[Any]:
        """Send a batch; returns the answer to each command. If the node is away, the error is each answer."""
        sent_at_s = time.monotonic()
        if self._silent.may_ask(batch.node):
            answers = self._ask(batch, options)
        else:
            answers = [RedisConnectionError(SILENT)] * len(batch.commands)
        if any(away(answer) for answer in answers):
            self._read_map(avoid=batch.node)
            return [away(answer) or answer for answer in answers]
        if time.monotonic() - sent_at_s > LATE_S and not batch.asking:
            self._read_map(avoid=batch.node)
            return batch.confirmed(answers, self._map)
        return answers

    def _ask(self, batch: NodeBatch, options: dict[str, Any]) -> list[Any]:
        client = self.client_of(batch.node)
        try:
            if len(batch.commands) == 1:  # the answer may need the options of redis-py's method
                answers = [client.execute_command(*_sent(batch.commands[0]), **options)]  # type: ignore[no-untyped-call]
            else:
                answers = in_one_packet(client, batch.commands)
        except RedisError as error:
            answers = [error] * len(batch.commands)
        self._silent.note(batch.node, answers)
        return answers

    def _load_scripts(self, node: Node) -> None:
        in_one_packet(self.client_of(node), [("SCRIPT", "LOAD", source(name)) for name in names()])

    def _read_map(self, avoid: Node | None = None) -> None:
        asked_at_s = time.monotonic()
        with self._reading:
            if asked_at_s - self._read_at_s < READ_AGAIN_S:
                return
            for node in sorted(self._map.candidates(avoid), key=lambda node: node in self._silent):
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


def in_one_packet(client: Redis, commands: Sequence[AnyCommand]) -> list[Any]:
    """Run commands on one server in one round trip; an error is an answer too."""
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*_sent(command))  # type: ignore[no-untyped-call]
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers
