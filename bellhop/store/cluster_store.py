"""A Redis Cluster as a `Store`: it knows in which partition its keys are, if each partition has such keys."""

from collections.abc import Coroutine, Hashable, Set
from typing import Any, Self

from redis.asyncio.connection import AbstractConnection

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.cluster_client import Bells, ClusterServers
from bellhop.store.cluster_map import Node
from bellhop.store.homes import Partition
from bellhop.store.redis_url import RedisAddress
from bellhop.store.scripts import AnyCommand, Command, RawCommand


class ClusterStore(Store):
    """The nodes of a cluster. `Store` says what its members do."""

    def __init__(self, servers: ClusterServers, own: Partition | None = None) -> None:
        """`own`: the partition of keys that each partition has."""
        self._servers, self._own = servers, own
        self.partitions = servers.partitions

    @classmethod
    def of(cls, address: RedisAddress, *, connections: int, timeout_s: Seconds) -> Self:
        """Prepare a connection to each node of a cluster."""
        return cls(ClusterServers(address, connections, timeout_s))

    def at(self, partition: Partition) -> "ClusterStore":
        """Return the store for what each partition has."""
        return ClusterStore(self._servers, partition)

    def ask(self, command: Command, *behind: RawCommand) -> None:
        """Return None: only `together` sends a command again that a node has not run."""

    def together(self, *commands: AnyCommand, in_order: bool = True) -> Coroutine[Any, Any, list[Any]]:
        """Run commands on the nodes that have their keys."""
        return self._servers.together(*commands, in_order=in_order, own=self._own)

    def server_of_key(self, key: str) -> Hashable:
        """Return the node that has a key; its partition if the node is not known."""
        return self._servers.server_of_key(key)

    @property
    def connection(self) -> Hashable:
        """A name of the open connection to the node that has the partition of `at`, by default the first."""
        return self._servers.connection(self._own)

    @property
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""
        return self._servers.behind_s

    @property
    def bell_nodes(self) -> Set[tuple[Node, Partition]]:
        """The nodes that have partitions, each with the partition that has its bells."""
        return self._servers.bell_nodes

    def bells(self, node: Node, timeout_s: Seconds) -> Bells:
        """Return what waits for the bells of a node. `timeout_s` must be longer than it waits."""
        return self._servers.bells(node, timeout_s)

    async def ring_bell(self, queue: str, partition: Partition) -> None:
        """Wake a worker for the jobs in a queue of a partition."""
        await self._servers.ring_bell(queue, partition)

    def new_connection(self) -> AbstractConnection:
        """Make a connection to any node."""
        return self._servers.new_connection()

    async def load_scripts(self) -> None:
        """Load every script into each node."""
        await self._servers.load_scripts()

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()
