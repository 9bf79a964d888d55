"""The asynchronous client of Redis, for event loops: one server, or a cluster. No command is repeated by itself."""

from collections.abc import Coroutine, Hashable, Sequence, Set
from typing import Any, Protocol, Self

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from bellhop.clock import Seconds
from bellhop.store.cluster_client import Bells, ClusterServers
from bellhop.store.cluster_map import Node
from bellhop.store.homes import Partition
from bellhop.store.redis_url import parse
from bellhop.store.scripts import Argument, Command
from bellhop.store.single_server import SingleServer


class Servers(Protocol):
    """Where commands run: one server, or the nodes of a cluster. `Store` says what each member means."""

    @property
    def partitions(self) -> Sequence[Partition]: ...

    def connection(self, own: Partition | None) -> Hashable: ...

    def place_of(self, key: str) -> Hashable: ...

    @property
    def behind_s(self) -> float: ...

    def ask(self, command: Command, *behind: tuple[Argument, ...]) -> Any: ...

    async def together(
        self, *commands: Command | tuple[Argument, ...], in_order: bool = True, own: Partition | None = None
    ) -> list[Any]: ...

    def new_connection(self) -> AbstractConnection: ...

    async def load_scripts(self) -> None: ...

    async def close(self) -> None: ...


class Store:
    """Redis; made without I/O, connected when first used, and again whenever a connection was lost.

    Every call makes one attempt. It raises redis.exceptions.ConnectionError (refused, lost), TimeoutError (no answer in
    time; not a ConnectionError) or ResponseError (Redis refused the command). After the first two the command may or
    may not have been run: repeat it only if it may run twice. A call may be cancelled at any time.
    """

    def __init__(self, servers: Servers, own: Partition | None = None) -> None:
        """`own`: the partition of keys that each partition has."""
        self._servers, self._own = servers, own

    @classmethod
    def from_url(
        cls, url: str, *, connections: int = 16, timeout_s: Seconds = Seconds(2.0), any_count: bool = False
    ) -> Self:
        """Prepare a connection, and up to `connections` for `client`; see `redis_url` for the URLs.

        `timeout_s` limits connecting, and waiting for an answer. A blocking command delays all commands after it. So it
        needs a separate Store, with a `timeout_s` that is longer than the command blocks. `any_count`: a cluster may
        have an installation with another number of partitions.
        """
        address = parse(url)._replace(any_count=any_count)
        servers = ClusterServers if address.nodes else SingleServer
        return cls(servers.of(address, connections=connections, timeout_s=timeout_s))

    @property
    def partitions(self) -> Sequence[Partition]:
        """The partitions of Redis; `ALONE` for one server."""
        return self._servers.partitions

    def at(self, partition: Partition) -> "Store":
        """Return the store for what each partition has: queues, leases, the agenda. It uses the same connections."""
        return Store(self._servers, partition)

    async def call(self, *command: Argument) -> Any:
        """Run one command. Strings are returned as bytes, HGETALL's pairs as a dict, the rest as Redis sends it."""
        (answer,) = await self.together(command)
        return dict(zip(answer[::2], answer[1::2], strict=True)) if command[0] == "HGETALL" else answer

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua atomically. The answer is made of bytes, integers, lists and None."""
        (answer,) = await self.together(Command(name, keys, args))
        return answer

    def ask(self, command: Command, *behind: tuple[Argument, ...]) -> Any:
        """Send a script, and commands after it, on the open connection, without a task.

        Returns a list of futures. The result of each is the answer, or a RedisError; the last is done last. None if
        only `together` can do that: no connection is open, or the answers must be confirmed.
        """
        return self._servers.ask(command, *behind)

    def together(
        self, *commands: Command | tuple[Argument, ...], in_order: bool = True
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run commands and scripts one after the other, in a single round trip; returns their answers.

        Raises the error of the first that failed; the others have run all the same. A cluster may need several round
        trips for commands on several nodes; if they need not be `in_order`, it runs them side by side. If a node is
        away, commands for other nodes that come later in the order are not sent.
        """
        return self._servers.together(*commands, in_order=in_order, own=self._own)

    def place_of(self, key: str) -> Hashable:
        """Name the server that has a key, as far as it is known. What another server has need not wait for this one."""
        return self._servers.place_of(key)

    @property
    def connection(self) -> Hashable:
        """A name of the open connection, as far as this process knows: to the server that has the partition of `at`.

        None if none is open. With another name than before, the server may have lost its latest data, or be another.
        """
        return self._servers.connection(self._own)

    @property
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""
        return self._servers.behind_s

    @property
    def bell_places(self) -> Set[tuple[Node, Partition]]:
        """The nodes of a cluster that have partitions, each with the partition that has its bells."""
        assert isinstance(self._servers, ClusterServers)  # noqa: S101 - only a cluster has bells
        return self._servers.bell_places

    def bells(self, node: Node, timeout_s: Seconds) -> Bells:
        """Return what waits for the bells of a node of a cluster. `timeout_s` must be longer than it waits."""
        assert isinstance(self._servers, ClusterServers)  # noqa: S101 - only a cluster has bells
        return self._servers.bells(node, timeout_s)

    async def ring_bell(self, queue: str, partition: Partition) -> None:
        """Wake a worker for the jobs in a queue of a partition of a cluster."""
        assert isinstance(self._servers, ClusterServers)  # noqa: S101 - only a cluster has bells
        await self._servers.ring_bell(queue, partition)

    @property
    def client(self) -> Redis:
        """redis-py's client of a single server, for INFO. It does not notice when its server becomes a replica."""
        client: Redis = self._servers.client  # type: ignore[attr-defined]
        return client

    def new_connection(self) -> AbstractConnection:
        """Make a connection, not connected yet, for messages of channels."""
        return self._servers.new_connection()

    async def load_scripts(self) -> None:
        """Load every script into Redis now, so that the first ring does not wait for that."""
        await self._servers.load_scripts()

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()
