"""The blocking client of Redis, for the web process's threads and the commands.

Some of redis-py's defaults are turned off: it repeats every command up to ten times, and waits a minute for a server
that hangs.
"""

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from bellhop.clock import Seconds
from bellhop.store.blocking_cluster import ClusterRedis, in_one_packet
from bellhop.store.homes import ALONE, Partition
from bellhop.store.redis_internals import parse_error
from bellhop.store.redis_url import PLAIN, RedisAddress, parse
from bellhop.store.scripts import AnyCommand, Command, RawCommand, by_digest, by_source
from bellhop.store.sentinel import DEMOTED, PrimaryDoubt, names_another


def blocking(
    url: str, *, timeout_s: Seconds, repeats: int = 0, connections: int = 64, any_count: bool = False
) -> Redis:
    """Make a client for threads; it does no I/O yet. Raises ValueError for an invalid URL.

    `timeout_s` limits connecting, and each answer. A command is repeated up to `repeats` times when the connection or
    the answer was lost: use more than 0 only if every command may run twice. `any_count`: a cluster may have another
    installation with another number of partitions.
    """
    connect = partial(_client_of, timeout_s=timeout_s, repeats=repeats, connections=connections)
    address = parse(url)._replace(any_count=any_count)
    return ClusterRedis(address, connect) if address.nodes else connect(address)


def _client_of(address: RedisAddress, *, timeout_s: Seconds, repeats: int, connections: int) -> Redis:
    """Make a client of one server, or of the primary that Sentinels name."""
    options: dict[str, Any] = {
        **address.server,
        "max_connections": connections,
        "retry": Retry(NoBackoff(), repeats),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        **({"redis_connect_func": _read_what_follows_the_handshake} if address.tls else {}),
        **PLAIN,
    }
    if not address.sentinels:
        kind: Any = address.connection_class(_TcpConnection, _TlsConnection, UnixDomainSocketConnection)
        return Redis.from_pool(ConnectionPool(connection_class=kind, **options))
    once = {**address.sentinel, "retry": Retry(NoBackoff(), 0)}
    manager = Sentinel(address.sentinels, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
    pool = _BlockingPrimaryPool(address.service, manager, ssl=address.tls, **options)
    return Redis.from_pool(pool)


def run_script(redis: Redis, command: Command, *behind: RawCommand) -> Any:
    """Run a script atomically, and commands after it; returns the script's answer. Raises as redis-py does."""
    if isinstance(redis, ClusterRedis):
        return together(redis, command, *behind)[0]
    try:
        answer = redis.execute_command(*by_digest(command))  # type: ignore[no-untyped-call]
    except NoScriptError:  # a new or restarted server: the script has not run
        answer = redis.execute_command(*by_source(command))  # type: ignore[no-untyped-call]
    if behind:
        together(redis, *behind, in_order=False)
    return answer


def partitions_of(redis: Redis) -> Sequence[Partition]:
    """Return the partitions of Redis; `ALONE` for one server."""
    return redis.partitions if isinstance(redis, ClusterRedis) else ALONE


def are_one_cluster(first: Redis, second: Redis) -> bool:
    """Return whether two clients use the same cluster. Raises as redis-py does."""
    if isinstance(first, ClusterRedis) and isinstance(second, ClusterRedis):
        return not set(first.nodes).isdisjoint(second.nodes)
    return False


def servers_of(redis: Redis) -> Sequence[Redis]:
    """Return a client for each server that has keys. Raises as redis-py does."""
    return redis.servers if isinstance(redis, ClusterRedis) else [redis]


def server_of(redis: Redis, partition: Partition) -> Redis:
    """Return a client for the server that has a partition. Raises as redis-py does."""
    return redis.server_of(partition) if isinstance(redis, ClusterRedis) else redis


def together(redis: Redis, *commands: AnyCommand, in_order: bool = True) -> list[Any]:
    """Run commands and scripts in one round trip, or none if there are none; returns their answers.

    Raises the error of the first that failed, as redis-py does; the others have run all the same. A cluster needs a
    round trip for each node, one after the other. If a node is away, commands for other nodes that come later are not
    sent, unless they only read, or need not be `in_order`.
    """
    answers = (
        redis.run(commands, in_order=in_order) if isinstance(redis, ClusterRedis) else _on_one_server(redis, commands)
    )
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _on_one_server(redis: Redis, commands: Sequence[AnyCommand]) -> list[Any]:
    answers = in_one_packet(redis, commands)
    for number, command in enumerate(commands):
        if isinstance(answers[number], NoScriptError) and isinstance(command, Command):
            answers[number] = redis.execute_command(*by_source(command))  # type: ignore[no-untyped-call]
    return answers


def has_moved(redis: Redis) -> bool:
    """Ask the Sentinels whether another server is the primary now; False without Sentinels."""
    pool = redis.connection_pool
    return isinstance(pool, _BlockingPrimaryPool) and pool.has_moved()


def _read_what_follows_the_handshake(connection: Connection) -> None:
    """Log in, and let TLS read the server's session tickets. redis-py drops a new connection if they are unread."""
    connection.on_connect()  # type: ignore[no-untyped-call]
    connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
    connection.read_response()


class _TcpConnection(Connection):
    """A connection that is closed when its server becomes a replica.

    The host name of a managed Redis leads to the new primary by then, but an open connection stays with the old one.
    With Sentinel, redis-py closes such connections itself.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)
        except ResponseError as error:
            if not isinstance(parse_error(str(error)), ReadOnlyError) and not isinstance(error, ReadOnlyError):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise RedisConnectionError(DEMOTED, status_code="READONLY") from None


class _TlsConnection(_TcpConnection, SSLConnection):
    pass


class _BlockingPrimaryPool(SentinelConnectionPool):
    """Connections to the primary that Sentinel names. When the primary changes, redis-py drops the old connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._doubt = PrimaryDoubt()

    def has_moved(self) -> bool:
        """Ask every Sentinel whether another server is the primary."""
        answers = []
        with contextlib.suppress(RedisError):  # stop at the first Sentinel that is away: each costs a time-out
            for sentinel in self.sentinel_manager.sentinels:
                answers.append(sentinel.sentinel_get_master_addr_by_name(self.service_name))
        return names_another(answers, self.master_address)

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        if self._doubt.lookup_is_due(Seconds(time.monotonic())):
            with contextlib.suppress(RedisError):  # without Sentinels, stay with a primary that answers
                self.get_master_address()  # type: ignore[no-untyped-call]
        return super().get_connection(*args, **kwargs)
