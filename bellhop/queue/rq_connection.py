"""A connection class for RQ's own tools: the queues of one partition of a Redis Cluster look like those of one Redis.

RQ knows no partitions: its keys are `rq:…`, and in a partition they are `rq:{16.3}:…`. So the tag is put into each
command, and taken out of each answer.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from redis import ConnectionPool, Redis
from redis.connection import Connection

from bellhop.clock import Seconds
from bellhop.store.blocking_client import blocking, partitions_of, server_of
from bellhop.store.homes import Partition
from bellhop.store.keys import RQ_PREFIX

TIMEOUT_S = Seconds(10.0)
WITH_CHANNELS = frozenset({"PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"})
"""Their arguments are channels, which are not in a partition."""


def url_for_rq(url: str, partition: int) -> str:
    """Return the URL for `RqRedis` of one partition, by its number. A single Redis has the partition 0."""
    return f"{url}#{partition}"


class RqRedis(Redis):
    """redis-py's client, as `rq --connection-class` takes it."""

    @classmethod
    def from_url(cls, url: str, **_: Any) -> Self:
        """Connect to what `url_for_rq` names. Raises RedisError if no node of the cluster answers."""
        return cls(connection_pool=_pool(url))


class _Tags:
    """What the names of keys are in a partition, and what RQ calls them."""

    def __init__(self, partition: Partition) -> None:
        self._theirs, self._ours = RQ_PREFIX.encode(), partition.key(RQ_PREFIX).encode()

    def put_in(self, command: Sequence[Any]) -> list[Any]:
        """Return a command with the names that keys have in the partition."""
        if str(command[0]).upper() in WITH_CHANNELS:
            return list(command)
        return [self._replaced(part, self._theirs, self._ours) for part in command]

    def take_out(self, answer: Any) -> Any:
        """Return an answer with the names that RQ expects."""
        if isinstance(answer, list):
            return [self.take_out(part) for part in answer]
        return self._replaced(answer, self._ours, self._theirs)

    def _replaced(self, part: Any, old: bytes, new: bytes) -> Any:
        if isinstance(part, str):
            return self._replaced(part.encode("utf-8", "surrogatepass"), old, new)
        return new + part.removeprefix(old) if isinstance(part, bytes) and part.startswith(old) else part


def _connection_class(base: type[Connection], partition: Partition) -> type[Connection]:
    tags = _Tags(partition)

    class _Tagged(base):  # type: ignore[misc, valid-type]
        def send_command(self, *command: Any, **options: Any) -> None:
            super().send_command(*tags.put_in(command), **options)

        def pack_commands(self, commands: Iterable[Sequence[Any]]) -> Any:
            return super().pack_commands([tags.put_in(command) for command in commands])

        def read_response(self, *args: Any, **options: Any) -> Any:
            return tags.take_out(super().read_response(*args, **options))

    return _Tagged


def _pool(url: str) -> ConnectionPool:
    redis_url, _, number = url.rpartition("#")
    redis = blocking(redis_url, timeout_s=TIMEOUT_S)
    partition = partitions_of(redis)[int(number)]
    pool: ConnectionPool = server_of(redis, partition).connection_pool
    if not partition.tag:
        return pool
    redis.close()
    kind = _connection_class(pool.connection_class, partition)
    return ConnectionPool(connection_class=kind, **pool.connection_kwargs)
