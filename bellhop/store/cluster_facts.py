"""What the nodes of a Redis Cluster say about themselves: for `bellhop check`, /readyz and the console."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, NamedTuple, TypeVar

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from bellhop.clock import Seconds
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.cluster_map import NO_NODE, SLOTS_COMMAND, Node, away, node_at
from bellhop.store.homes import SLOTS, Partition, slot_of
from bellhop.store.refusals import probes, refusal_of

T = TypeVar("T")

COVERAGE = "cluster-require-full-coverage"
MOST_THREADS = 32
"""How many nodes are asked at the same time."""
CLOCKS_APART_S = Seconds(0.1)
"""More than this between the clocks of two nodes is reported."""


class Reading(NamedTuple):
    """What a node answered."""

    took_s: Seconds
    """How long the answer took."""
    ahead_s: tuple[Seconds, Seconds]
    """The least and the most that the node's clock may be ahead of this machine's."""
    refused: RedisError | None
    """Why it takes no writes; None also for a replica."""
    info: Mapping[str, Any] | None
    """The answer to INFO; None if the user may not run it, or if it was not read."""
    needs_all_slots: bool
    """Whether the node takes nothing while any slot has no master; False if the user may not read that."""


class NodeFacts(NamedTuple):
    """A node: what it has, and what it says."""

    name: str
    slots: int
    """How many slots it has; 0 for a replica."""
    partitions: Sequence[Partition]
    replicas: int
    """How many replicas it has."""
    reading: Reading | RedisError
    """The error if it does not answer."""

    @property
    def is_master(self) -> bool:
        """Whether it has slots."""
        return bool(self.slots)

    @property
    def takes_writes(self) -> bool:
        """Whether it answers, and a write too."""
        return isinstance(self.reading, Reading) and self.reading.refused is None

    @property
    def can_be_read(self) -> bool:
        """Whether it answers, and serves its slots; it may refuse writes."""
        return isinstance(self.reading, Reading) and away(self.reading.refused) is None


class ClusterFacts(NamedTuple):
    """The nodes of a cluster. The masters come first."""

    nodes: tuple[NodeFacts, ...]
    partitions: int

    @property
    def masters(self) -> list[NodeFacts]:
        """The nodes that have slots."""
        return [node for node in self.nodes if node.is_master]

    @property
    def usable_partitions(self) -> list[Partition]:
        """The partitions whose masters take writes."""
        return [partition for node in self.masters if node.takes_writes for partition in node.partitions]

    @property
    def readable_partitions(self) -> list[Partition]:
        """The partitions whose masters can be read. Raises RedisError if there are none."""
        found = [partition for node in self.masters if node.can_be_read for partition in node.partitions]
        if not found:
            raise RedisConnectionError(NO_NODE)
        return found

    @property
    def slots_without_master(self) -> int:
        """How many slots no node has."""
        return SLOTS - sum(node.slots for node in self.nodes)

    @property
    def readings(self) -> dict[str, Reading]:
        """What the nodes that answered said, by the node's name."""
        return {node.name: node.reading for node in self.nodes if isinstance(node.reading, Reading)}


def read_cluster(redis: ClusterRedis, *, masters_only: bool = False) -> ClusterFacts:
    """Ask all nodes at the same time. With `masters_only`, replicas and INFO are left out.

    Raises RedisError if no node answers.
    """

    owners, masters_of = _owners(*_slots(redis))
    slots, replicas = Counter(owners.values()), Counter(masters_of.values())

    def read(node: Node) -> NodeFacts:
        own = [partition for partition in redis.partitions if owners.get(slot_of(partition.tag)) == node]
        reading = _read(redis.client_of(node), own, everything=not masters_only)
        return NodeFacts(_name(node), slots[node], own, replicas[node], reading)

    nodes = [*slots] if masters_only else [*slots, *masters_of]
    with _threads(nodes) as threads:
        return ClusterFacts(tuple(threads.map(read, nodes)), len(redis.partitions))


def _slots(redis: ClusterRedis) -> tuple[Iterable[Sequence[Any]], Node]:
    """Return the slots as one of the nodes says, and this node. Raises RedisError if none answers."""

    def ask(node: Node) -> tuple[Iterable[Sequence[Any]], Node]:
        return redis.client_of(node).execute_command(*SLOTS_COMMAND), node  # type: ignore[no-untyped-call]

    threads = _threads(redis.nodes)
    try:
        for asked in as_completed([threads.submit(ask, node) for node in redis.nodes]):
            if (error := asked.exception()) is None:
                return asked.result()
    finally:
        threads.shutdown(wait=False)
    assert error is not None  # noqa: S101 - there is a node, or `nodes` raises
    raise error


def _threads(nodes: Sequence[object]) -> ThreadPoolExecutor:
    """Return a thread for each node, up to a limit. So a node that does not answer delays no other node."""
    return ThreadPoolExecutor(min(len(nodes), MOST_THREADS) or 1)


def _name(node: Node) -> str:
    return f"{node.host}:{node.port}"


def summary(facts: ClusterFacts) -> str:
    """Name the parts of the cluster: "a cluster of 3 masters and 6 replicas; 16 partitions, 5 or 6 on each"."""
    masters = facts.masters
    replicas = sum(node.replicas for node in masters)
    return (
        f"a cluster of {len(masters)} masters and {replicas} replicas; {facts.partitions} partitions, "
        f"{_spread([len(node.partitions) for node in masters])} on each"
    )


def problems(facts: ClusterFacts, *, public: bool = False) -> Iterator[str]:
    """Yield a sentence for each part of the cluster that takes no writes; without addresses if it is `public`."""
    for node in facts.masters:
        where = "A master of the Redis Cluster" if public else f"Redis at {node.name}"
        where = f"{where}, which has {len(node.partitions)} of {facts.partitions} partitions,"
        if isinstance(node.reading, RedisError):
            yield f"{where} {refusal_of(node.reading) or f'does not answer ({type(node.reading).__name__})'}"
        elif node.reading.refused is not None:
            refused = node.reading.refused
            yield f"{where} {refusal_of(refused) or f'refuses writes ({type(refused).__name__})'}"
    if facts.slots_without_master:
        yield (
            f"{facts.slots_without_master} of {SLOTS} slots of the cluster have no master: see "
            "`redis-cli --cluster check`"
        )


def clock_complaint(facts: ClusterFacts, *, public: bool = False) -> str:
    """Return a sentence if the clocks of two nodes differ by more than `CLOCKS_APART_S`; empty if not.

    It is without addresses if it is `public`.
    """
    ahead = {name: reading.ahead_s for name, reading in facts.readings.items()}
    if not ahead:
        return ""
    first, last = max(ahead, key=lambda name: ahead[name][0]), min(ahead, key=lambda name: ahead[name][1])
    apart_s = ahead[first][0] - ahead[last][1]
    if apart_s <= CLOCKS_APART_S:
        return ""
    which = "" if public else f", {first} is ahead of {last}"
    return (
        f"the clocks of the nodes differ by {apart_s:.1f} s{which}: set them right (NTP). Each partition uses the "
        "clock of its node"
    )


def _owners(slots: Iterable[Sequence[Any]], asked: Node) -> tuple[dict[int, Node], dict[Node, Node]]:
    """Read the answer to CLUSTER SLOTS: the master of each slot, and of each replica."""
    owners, replicas = dict[int, Node](), dict[Node, Node]()
    for first, last, *nodes in slots:
        master, *others = (node_at(host, port, asked) for host, port, *_ in nodes)
        owners.update(dict.fromkeys(range(first, last + 1), master))
        replicas.update(dict.fromkeys(others, master))
    return owners, replicas


def _read(client: Redis, partitions: Sequence[Partition], *, everything: bool) -> Reading | RedisError:
    try:
        sent_s = time.time()
        seconds, micros = client.time()
        answered_s = time.time()
        info, needs_all_slots = _settings_of(client) if everything else (None, False)
        refused = _refused(client, partitions)
    except RedisError as error:
        return error
    at_s = seconds + micros / 1_000_000
    ahead_s = Seconds(at_s - answered_s), Seconds(at_s - sent_s)
    return Reading(Seconds(answered_s - sent_s), ahead_s, refused, info, needs_all_slots)


def _settings_of(client: Redis) -> tuple[Mapping[str, Any] | None, bool]:
    """Return INFO, and whether the node needs all slots. What the user may not read is None, and False."""
    info: Any = _if_allowed(client.info)
    coverage: Any = _if_allowed(partial(client.config_get, COVERAGE))
    return info, (coverage or {}).get(COVERAGE) == "yes"


def _if_allowed(read: Callable[[], T]) -> T | None:
    """Return an answer; None if the server does not allow, or does not know the command, as those of some clouds."""
    try:
        return read()
    except ResponseError:
        return None


def _refused(client: Redis, partitions: Sequence[Partition]) -> RedisError | None:
    try:
        for probe in probes(partitions[:1]):
            client.execute_command(*probe)  # type: ignore[no-untyped-call]
    except RedisError as error:
        return error
    return None


def _spread(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    if least == most:
        return str(least)
    return f"{least} {'or' if most == least + 1 else 'to'} {most}"
