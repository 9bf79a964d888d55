"""The asynchronous client of Redis, for event loops: one server, or a cluster. No command is repeated by itself."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Hashable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from bellhop.clock import Seconds
from bellhop.store.homes import Partition
from bellhop.store.redis_url import parse
from bellhop.store.scripts import AnyCommand, Argument, Command, RawCommand


class Store(ABC):
    """Redis; made without I/O, connected when first used, and again whenever a connection was lost.

    Every call makes one attempt. It raises redis.exceptions.ConnectionError (refused, lost), TimeoutError (no answer in
    time; not a ConnectionError) or ResponseError (Redis refused the command). After the first two the command may or
    may not have been run: repeat it only if it may run twice. A call may be cancelled at any time.
    """

    client: Redis
    """redis-py's client of a single server, for INFO. It does not notice when its server becomes a replica."""
    partitions: Sequence[Partition]
    """The partitions of Redis; `ALONE` for one server."""

    @staticmethod
    def from_url(
        url: str, *, connections: int = 16, timeout_s: Seconds = Seconds(2.0), any_count: bool = False
    ) -> "Store":
        """Prepare a connection, and up to `connections` for `client`; see `redis_url` for the URLs.

        `timeout_s` limits connecting, and waiting for an answer. A blocking command delays all commands after it. So it
        needs a separate Store, with a `timeout_s` that is longer than the command blocks. `any_count`: a cluster may
        have an installation with another number of partitions.
        """
        from bellhop.store.cluster_store import ClusterStore  # noqa: PLC0415 - both are kinds of Store
        from bellhop.store.single_server import SingleServer  # noqa: PLC0415

        address = parse(url)._replace(any_count=any_count)
        kind = ClusterStore if address.nodes else SingleServer
        return kind.of(address, connections=connections, timeout_s=timeout_s)

    @abstractmethod
    def at(self, partition: Partition) -> "Store":
        """Return the store for what each partition has: queues, leases, the agenda. It uses the same connections."""

    async def call(self, *command: Argument) -> Any:
        """Run one command. Strings are returned as bytes, HGETALL's pairs as a dict, the rest as Redis sends it."""
        (answer,) = await self.together(command)
        return dict(zip(answer[::2], answer[1::2], strict=True)) if command[0] == "HGETALL" else answer

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua atomically. The answer is made of bytes, integers, lists and None."""
        (answer,) = await self.together(Command(name, keys, args))
        return answer

    @abstractmethod
    def ask(self, command: Command, *behind: RawCommand) -> Any:
        """Send a script, and commands after it, on the open connection, without a task.

        Returns a list of futures. The result of each is the answer, or a RedisError; the last is done last. None if
        only `together` can do that: no connection is open, or the answers must be confirmed.
        """

    @abstractmethod
    def together(self, *commands: AnyCommand, in_order: bool = True) -> Coroutine[Any, Any, list[Any]]:
        """Run commands and scripts one after the other, in a single round trip; returns their answers.

        Raises the error of the first that failed; the others have run all the same. A cluster may need several round
        trips for commands on several nodes; if they need not be `in_order`, it runs them side by side. If a node is
        away, commands for other nodes that come later in the order are not sent.
        """

    @abstractmethod
    def server_of_key(self, key: str) -> Hashable:
        """Name the server that has a key, as far as it is known. What another server has need not wait for this one."""

    @property
    @abstractmethod
    def connection(self) -> Hashable:
        """A name of the open connection, as far as this process knows: to the server that has the partition of `at`.

        None if none is open. With another name than before, the server may have lost its latest data, or be another.
        """

    @property
    @abstractmethod
    def behind_s(self) -> float:
        """How long the oldest command without an answer has waited, in seconds."""

    @abstractmethod
    def new_connection(self) -> AbstractConnection:
        """Make a connection, not connected yet, for messages of channels."""

    @abstractmethod
    async def load_scripts(self) -> None:
        """Load every script into Redis now, so that the first ring does not wait for that."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""
