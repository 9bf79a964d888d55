"""The ways to Redis: one server, or whichever is the primary by the word of its Sentinels; the clients for either.

redis-py has no URL for Sentinel, so Bellhop has one. Of redis-py's defaults those are turned off that hurt here: it
repeats every command up to ten times, waits a minute for a hung server, and introduces itself on every connection with
CLIENT SETINFO, which Redis knows from 7.2 on and which 6.2 notes as refused to the users of docs/redis.md.
"""

import contextlib
import re
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from bellhop.store.retry import parse_error
from bellhop.store.scripts import Command, by_digest, by_source

SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT = 26379
SENTINEL_TIMEOUT_S = 0.3
"""For connecting to a Sentinel and for its answer. Short, since one that is gone is followed by others."""
LOOK_S = 1.0
"""How often the Sentinels are asked who the primary is. One that hung, or was cut off, takes itself for the primary for
ten seconds more, and those who are connected to it would go on talking to it."""
LATE_S = 0.5
"""An answer that took longer comes from a server that hung, and may be no primary any more."""
DOUBT_S = 3.0
"""How long after it the Sentinels are asked before such a server is believed: they change sides one by one."""
DEMOTED = "this server is a replica now"


class RedisAddress(NamedTuple):
    """Where Redis is."""

    server: dict[str, Any]
    """redis-py's arguments for a connection to the server; without host and port when Sentinels name it."""
    tls: bool
    service: str = ""
    """What the Sentinels call the primary."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Empty: there are none."""
    sentinel: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """redis-py's arguments for a connection to one of them."""


def parse(url: str) -> RedisAddress:
    """Read a URL; raises ValueError with what it must look like.

    redis://, rediss:// (TLS) and unix:// are redis-py's own. With Sentinels:
    redis+sentinel://user:password@host:port,host:port,…/service/db, or rediss+sentinel:// for TLS to all of them; user
    and password are Redis's, the Sentinels' own go into ?sentinel_username=…&sentinel_password=….
    """
    if not url.startswith(SCHEMES):
        raise ValueError("must begin with redis://, rediss:// (TLS), unix://, redis+sentinel:// or rediss+sentinel://")
    scheme, _, rest = url.partition("://")
    scheme, _, sentinels = scheme.partition("+")
    if not sentinels:
        return RedisAddress(_server(url), scheme == "rediss")
    # Not by urllib: since Python 3.13 it refuses several hosts when one is an IPv6 address.
    place, _, options = rest.partition("?")
    netloc, _, path = place.partition("/")
    login, at, hosts = netloc.rpartition("@")
    service, _, db = path.strip("/").partition("/")
    if not service or not hosts or not (db or "0").isdigit():
        raise ValueError("must be redis+sentinel://host:port,host:port/service/0, with the service that Sentinel knows")
    query = dict(parse_qsl(options))
    own = {name: query.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in query}
    server = _server(f"{scheme}://{login}{at}x/{db}?{urlencode(query)}")
    del server["host"]
    tls = {name: value for name, value in server.items() if name.startswith("ssl_")}
    return RedisAddress(
        server,
        scheme == "rediss",
        service,
        tuple(_node(node) for node in hosts.split(",")),
        {
            **own,
            **tls,
            "ssl": scheme == "rediss",
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
            "protocol": 2,
            "driver_info": None,
        },
    )


def shown(url: str) -> str:
    """Name the server, or its Sentinels, without a password."""
    address = parse(url)
    if address.sentinels:
        return f"{address.service} of {', '.join(f'{host}:{port}' for host, port in address.sentinels)}"
    server = address.server
    return server.get("path") or f"{server.get('host', 'localhost')}:{server.get('port', 6379)}"


def _server(url: str) -> dict[str, Any]:
    try:
        server: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Without its cause, which may quote a password.
        raise ValueError("is no URL: what is special in its password goes in as %40 for @, %2F for /") from None
    server.pop("connection_class", None)
    return server


def _node(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text.strip())
    if not found:
        raise ValueError("names a Sentinel that is no host:port")
    return found[1].strip("[]"), int(found[2] or SENTINEL_PORT)


def with_ca(url: str, ca_file: str) -> str:
    """Add the CA to trust to the URL of a server with TLS."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'ssl_ca_certs': ca_file})}"


def blocking(url: str, *, timeout_s: float, repeats: int = 0, connections: int = 64) -> Redis:
    """Make a client for threads; it does no I/O yet. Raises ValueError for a URL that is none.

    `timeout_s` bounds connecting, and each answer. A command is repeated `repeats` times when the connection or the
    answer was lost: more than 0 only for what may be repeated.
    """
    address = parse(url)
    options: dict[str, Any] = {
        **address.server,
        "max_connections": connections,
        "retry": Retry(NoBackoff(), repeats),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        "driver_info": None,
    }
    if not address.sentinels:
        kind = UnixDomainSocketConnection if "path" in address.server else _Tls if address.tls else _Tcp
        return Redis.from_pool(ConnectionPool(connection_class=kind, **options))
    once = {**address.sentinel, "retry": Retry(NoBackoff(), 0)}
    manager = Sentinel(address.sentinels, sentinel_kwargs=once)  # type: ignore[no-untyped-call]
    pool = _BlockingPrimaryPool(address.service, manager, ssl=address.tls, **options)  # type: ignore[no-untyped-call]
    return Redis.from_pool(pool)


def run_script(redis: Redis, command: Command) -> Any:
    """Run a script atomically. Raises as redis-py does."""
    try:
        return redis.execute_command(*by_digest(command))  # type: ignore[no-untyped-call]
    except NoScriptError:  # a new or restarted server: it has done nothing
        return redis.execute_command(*by_source(command))  # type: ignore[no-untyped-call]


def names_another(answers: Iterable[Any], server: Any) -> bool:
    """Tell whether a Sentinel calls another than `server` (host, port) the primary; `answers` as redis-py gives them.

    While replicas are still being moved, the one that leads a failover says so here and not in its list of primaries.
    """
    named = [(text.decode() if isinstance(text, bytes) else text, port) for text, port in filter(None, answers)]
    return any(one != server for one in named)


def has_moved(redis: Redis) -> bool:
    """Ask the Sentinels whether the primary is another than the one that `redis` talks to; without any, it is not."""
    pool = redis.connection_pool
    return isinstance(pool, _BlockingPrimaryPool) and pool.has_moved()


class _Tcp(Connection):
    """A connection that is given up when its server stops being a primary.

    The name of a managed Redis leads to the new primary by then, but whoever keeps the connection never asks again.
    With Sentinel redis-py sees to that by itself.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)
        except ResponseError as error:
            if not isinstance(parse_error(str(error)), ReadOnlyError) and not isinstance(error, ReadOnlyError):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            raise RedisConnectionError(DEMOTED) from None


class _Tls(_Tcp, SSLConnection):
    pass


class _BlockingPrimaryPool(SentinelConnectionPool):
    """Connections to the primary that Sentinel names. A new one makes redis-py drop those to the old."""

    _look_at = 0.0

    def has_moved(self) -> bool:
        answers = []
        with contextlib.suppress(RedisError):  # one that is away is waited for once, not for every one of them
            for sentinel in self.sentinel_manager.sentinels:
                answers.append(sentinel.sentinel_get_master_addr_by_name(self.service_name))
        return names_another(answers, self.master_address)

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            with contextlib.suppress(RedisError):  # Sentinels away are no reason to leave a primary that answers
                self.get_master_address()  # type: ignore[no-untyped-call]
        return super().get_connection(*args, **kwargs)
