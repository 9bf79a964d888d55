"""Everything that Bellhop uses of redis-py beyond its documented API.

tests/bellhop/store/test_redis_internals.py fails when redis-py moves one of these:

- `AbstractConnection._writer`: the stream of a connected asyncio connection (`transport_of`).
- `redis._parsers.BaseParser.parse_error`: from an error reply to an exception class (`parse_error`).
- `RedisError.status_code`: the code of the error reply, if redis-py has a class for it (`code_of`).
- `ConnectionPool.make_connection`: a connection with the pool's settings (`new_connection`).
- `ConnectionPool.connection_kwargs`: those settings.
- `SentinelConnectionPool`: `sentinel_manager.sentinels`, `service_name`, `master_address` and `get_master_address`,
  and that it drops connections to an old primary (the pools of `async_client` and `blocking_client`).
- `Connection.read_response`: every reply of the blocking client passes through it (`blocking_client`).
"""

import asyncio
import re
from typing import Any

from redis._parsers import BaseParser
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

ENDED_A_SCRIPT = re.compile(r"^(?:ERR )?Error running script .*: -([A-Z]+ .*)$", re.DOTALL)
"""How Redis before 7.0 reports an error of a command in a script; later versions report the error alone."""

IN_A_PIPELINE = re.compile(r"^Command # .* caused error: ", re.DOTALL)
"""What redis-py writes before the error of a command in a pipeline."""


def parse_error(text: str) -> Exception:
    """Turn an error reply of Redis into redis-py's exception, also if it ended a script."""
    match = ENDED_A_SCRIPT.match(text)
    error: Exception = BaseParser.parse_error(match[1] if match else text)  # type: ignore[no-untyped-call]
    return error


def code_of(error: RedisError) -> str:
    """Return the code of Redis's error reply, such as OOM, also if it ended a script. Empty if Redis sent no reply."""
    if error.status_code not in (None, "ERR"):
        return error.status_code
    text = IN_A_PIPELINE.sub("", str(error)) if isinstance(error, ResponseError) else ""
    match = ENDED_A_SCRIPT.match(text)
    return (match[1] if match else text).partition(" ")[0]


def new_connection(client: Redis) -> AbstractConnection:
    """Make a connection, not connected yet, with the settings of a client: address, user, TLS, Sentinel."""
    connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def transport_of(connection: AbstractConnection) -> Any:
    """Return the asyncio transport of a connected connection."""
    writer: asyncio.StreamWriter | None = connection._writer
    assert writer is not None  # noqa: S101 - it is connected
    return writer.transport


def server_of(connection: AbstractConnection) -> tuple[str, int]:
    """Return host and port of a connection; empty and 0 for a unix socket."""
    return getattr(connection, "host", ""), getattr(connection, "port", 0)
