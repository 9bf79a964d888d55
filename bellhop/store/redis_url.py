"""The URL of Redis: one server, the Sentinels that name the primary, or nodes of a cluster.

redis-py has no URL for Sentinel and for Redis Cluster, so Bellhop has them.
"""

import re
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode

from redis.connection import parse_url

SINGLE = ("redis://", "rediss://", "unix://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
CLUSTER = ("redis+cluster://", "rediss+cluster://")
PORT = 6379
SENTINEL_PORT = 26379
PARTITIONS = 16
"""Of a cluster, if the URL does not say how many."""
MOST_PARTITIONS = 1024
SENTINEL_TIMEOUT_S = 0.3
"""For connecting to a Sentinel and for its answer. Short, since another Sentinel is asked if one is away."""
PLAIN: dict[str, Any] = {"protocol": 2, "driver_info": None}
"""For every connection. By default redis-py introduces itself with CLIENT SETINFO, which Redis knows from 7.2 on, and
which Redis 6.2 logs as refused for the users of docs/redis.md."""


Kind = TypeVar("Kind")


class RedisAddress(NamedTuple):
    """Where Redis is."""

    server: dict[str, Any]
    """redis-py's arguments for a connection to the server; without host and port if the URL names Sentinels, or nodes
    of a cluster."""
    tls: bool
    service: str = ""
    """What the Sentinels call the primary."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel; empty if the URL names a server."""
    sentinel: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """redis-py's arguments for a connection to a Sentinel."""
    nodes: tuple[tuple[str, int], ...] = ()
    """Host and port of some nodes of a cluster, which name the others; empty if Redis is not a cluster."""
    partitions: int = 1
    """The number of partitions; 1 if Redis is not a cluster."""
    any_count: bool = False
    """Whether another number of partitions may be stored in the cluster."""

    def connection_class(self, tcp: Kind, tls: Kind, unix: Kind) -> Kind:
        """Return the one of three classes whose connections reach the server."""
        return unix if "path" in self.server else tls if self.tls else tcp

    def of_node(self, host: str, port: int) -> "RedisAddress":
        """Return the address of one node of the cluster."""
        return self._replace(server={**self.server, "host": host, "port": port}, nodes=(), partitions=1)


class _Parts(NamedTuple):
    """The parts of a URL with several hosts. urllib refuses them if one is an IPv6 address."""

    login: str
    """User and password, with the @ behind them; empty without them."""
    hosts: str
    path: str
    query: dict[str, str]


def parse(url: str) -> RedisAddress:
    """Read a URL. Raises ValueError, which says what the URL must look like.

    redis://, rediss:// (TLS) and unix:// are redis-py's own. For Sentinels:
    redis+sentinel://user:password@host:port,host:port,…/service/db, or rediss+sentinel:// for TLS to all of them. User
    and password are for Redis; those for the Sentinels are ?sentinel_username=…&sentinel_password=….
    For a cluster: redis+cluster://user:password@host:port,host:port,…?partitions=16, or rediss+cluster:// for TLS to
    all nodes.
    """
    if url.startswith(SINGLE):
        return RedisAddress(_server(url), url.startswith("rediss://"))
    if url.startswith(SENTINEL):
        return _behind_sentinels(url.startswith("rediss"), _parts(url))
    if url.startswith(CLUSTER):
        return _cluster(url.startswith("rediss"), _parts(url))
    raise ValueError(
        "must begin with redis://, rediss:// (TLS), unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// "
        "or rediss+cluster://"
    )


def shown(url: str) -> str:
    """Name the server, its Sentinels, or the nodes in the URL, for people: without a password."""
    address = parse(url)
    several = ", ".join(f"{host}:{port}" for host, port in address.sentinels or address.nodes)
    if several:
        return f"{address.service} of {several}" if address.sentinels else several
    server = address.server
    return server.get("path") or f"{server.get('host', 'localhost')}:{server.get('port', PORT)}"


def shown_database(url: str) -> str:
    """Name the server and the number of the database, or the cluster, without a password."""
    if parse(url).nodes:
        return f"the cluster at {shown(url)}"
    return f"{shown(url)}, database {number_of_database(url)}"


def shown_data(url: str) -> str:
    """Name a Redis so that its data are named too: the same cluster may have several numbers of partitions."""
    address = parse(url)
    return f"{shown_database(url)}, {address.partitions} partitions" if address.nodes else shown_database(url)


def number_of_database(url: str) -> int:
    """Return the number of the database that a URL names."""
    return int(parse(url).server.get("db") or 0)


def with_ca(url: str, ca_file: str) -> str:
    """Add the file of the CA to trust to a URL with TLS."""
    return _with(url, "ssl_ca_certs", ca_file)


def with_partitions(url: str, count: int) -> str:
    """Add the number of partitions to the URL of a cluster. Raises ValueError if the URL has another number."""
    if "partitions" not in _parts(url).query:
        return _with(url, "partitions", count)
    if parse(url).partitions != count:
        raise ValueError("BELLHOP_REDIS_PARTITIONS is not the number behind partitions= in BELLHOP_REDIS_URL")
    return url


def names_partitions(url: str) -> bool:
    """Return whether the URL of a cluster says how many partitions there are; True for any other URL."""
    return not parse(url).nodes or "partitions" in _parts(url).query


def _with(url: str, name: str, value: object) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode({name: value})}"


def _parts(url: str) -> _Parts:
    _, _, rest = url.partition("://")
    location, _, options = rest.partition("?")
    netloc, _, path = location.partition("/")
    login, at, hosts = netloc.rpartition("@")
    return _Parts(f"{login}{at}", hosts, path.strip("/"), dict(parse_qsl(options)))


def _behind_sentinels(tls: bool, parts: _Parts) -> RedisAddress:
    service, _, db = parts.path.partition("/")
    if not service or not parts.hosts or not (db or "0").isdigit():
        raise ValueError("must be redis+sentinel://host:port,host:port/service/0, with Sentinel's name of the service")
    query = dict(parts.query)
    own = {name: query.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in query}
    server = _without_host(tls, parts.login, db, query)
    sentinel = {
        **own,
        **{name: value for name, value in server.items() if name.startswith("ssl_")},
        "ssl": tls,
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        **PLAIN,
    }
    return RedisAddress(server, tls, service, _hosts(parts.hosts, "Sentinel", SENTINEL_PORT), sentinel)


def _cluster(tls: bool, parts: _Parts) -> RedisAddress:
    if not parts.hosts:
        raise ValueError("must be redis+cluster://host:port,host:port, with some nodes of the cluster")
    query = dict(parts.query)
    partitions = query.pop("partitions", str(PARTITIONS))
    if not re.fullmatch(r"[0-9]{1,4}", partitions) or not 1 <= int(partitions) <= MOST_PARTITIONS:
        raise ValueError(f"must have a number from 1 to {MOST_PARTITIONS} behind partitions=")
    if parts.path not in ("", "0") or query.pop("db", "0") != "0":
        raise ValueError("must not name a database: Redis Cluster has only the database 0")
    server = _without_host(tls, parts.login, "", query)
    return RedisAddress(server, tls, nodes=_hosts(parts.hosts, "node", PORT), partitions=int(partitions))


def _without_host(tls: bool, login: str, db: str, query: dict[str, str]) -> dict[str, Any]:
    server = _server(f"{'rediss' if tls else 'redis'}://{login}x/{db}?{urlencode(query)}")
    del server["host"]
    return server


def _server(url: str) -> dict[str, Any]:
    try:
        server: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Without the cause, which may quote a password.
        raise ValueError("must be a URL: write special characters of a password as %40 for @, %2F for /") from None
    server.pop("connection_class", None)
    return server


def _hosts(text: str, kind: str, port: int) -> tuple[tuple[str, int], ...]:
    found = [re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", host.strip()) for host in text.split(",")]
    if not all(found):
        raise ValueError(f"must name each {kind} as host:port")
    return tuple((match[1].strip("[]"), int(match[2] or port)) for match in found if match)
