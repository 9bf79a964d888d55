"""Which part of Redis can be read now: for pages that an operator needs while a node of a cluster is away."""

from collections.abc import Sequence
from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.blocking_client import partitions_of, server_of
from bellhop.store.cluster_facts import ClusterFacts, read_cluster
from bellhop.store.homes import Partition, partition_with
from bellhop.store.redis_clock import read_time
from webhook.context import WebContext


class ReadablePart(NamedTuple):
    """What can be read, and the client that reads it."""

    redis: Redis
    partitions: Sequence[Partition]
    """The partitions that can be read."""
    cluster: ClusterFacts | None = None
    """What the masters of a cluster said; None for a single Redis."""

    @property
    def away(self) -> int:
        """How many partitions cannot be read."""
        return len(partitions_of(self.redis)) - len(self.partitions)

    def now(self) -> Micros:
        """Return the time by the clock of a server that answers. Raises redis.exceptions.RedisError."""
        return read_time(server_of(self.redis, self.partitions[0]).time())

    def has(self, key: str) -> bool:
        """Tell whether a key that names its home can be read."""
        return partition_with(key, partitions_of(self.redis)) in self.partitions


def readable_part(context: WebContext) -> ReadablePart:
    """Find out what can be read. Raises RedisError if nothing can be."""
    if context.cluster is None:
        return ReadablePart(context.redis, partitions_of(context.redis))
    facts = read_cluster(context.cluster, masters_only=True)
    readable = facts.readable_partitions
    server_of(context.redis, readable[0])  # raises if the cluster has another number of partitions
    return ReadablePart(context.cluster, readable, facts)
