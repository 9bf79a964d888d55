"""The URL of Redis: one server, or the Sentinels that name the primary.

redis-py has no URL for Sentinel, so Bellhop has one.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from redis.connection import parse_url

SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT = 26379
SENTINEL_TIMEOUT_S = 0.3
"""For connecting to a Sentinel and for its answer. Short, since another Sentinel is asked if one is away."""
PLAIN: dict[str, Any] = {"protocol": 2, "driver_info": None}
"""For every connection. By default redis-py introduces itself with CLIENT SETINFO, which Redis knows from 7.2 on, and
which Redis 6.2 logs as refused for the users of docs/redis.md."""


class RedisAddress(NamedTuple):
    """Where Redis is."""

    server: dict[str, Any]
    """redis-py's arguments for a connection to the server; without host and port when Sentinels name it."""
    tls: bool
    service: str = ""
    """What the Sentinels call the primary."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel; empty if the URL names a server."""
    sentinel: dict[str, Any] = {}  # noqa: RUF012 - never changed
    """redis-py's arguments for a connection to a Sentinel."""


def parse(url: str) -> RedisAddress:
    """Read a URL. Raises ValueError, which says what the URL must look like.

    redis://, rediss:// (TLS) and unix:// are redis-py's own. For Sentinels:
    redis+sentinel://user:password@host:port,host:port,…/service/db, or rediss+sentinel:// for TLS to all of them. User
    and password are for Redis; those for the Sentinels are ?sentinel_username=…&sentinel_password=….
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
        raise ValueError("must be redis+sentinel://host:port,host:port/service/0, with Sentinel's name of the service")
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
            **PLAIN,
        },
    )


def shown(url: str) -> str:
    """Name the server, or its Sentinels, for people: without a password."""
    address = parse(url)
    if address.sentinels:
        return f"{address.service} of {', '.join(f'{host}:{port}' for host, port in address.sentinels)}"
    server = address.server
    return server.get("path") or f"{server.get('host', 'localhost')}:{server.get('port', 6379)}"


def shown_database(url: str) -> str:
    """Name the server and the number of the database, without a password."""
    return f"{shown(url)}, database {number_of_database(url)}"


def number_of_database(url: str) -> int:
    """Return the number of the database that a URL names."""
    return int(parse(url).server.get("db") or 0)


def with_ca(url: str, ca_file: str) -> str:
    """Add the file of the CA to trust to a URL with TLS."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'ssl_ca_certs': ca_file})}"


def _server(url: str) -> dict[str, Any]:
    try:
        server: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        # Without the cause, which may quote a password.
        raise ValueError("must be a URL: write special characters of a password as %40 for @, %2F for /") from None
    server.pop("connection_class", None)
    return server


def _node(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text.strip())
    if not match:
        raise ValueError("must name each Sentinel as host:port")
    return match[1].strip("[]"), int(match[2] or SENTINEL_PORT)
