"""What Bellhop uses of redis-py beyond its documented API (bellhop/store/redis_internals.py) is still there.

When one of these fails, redis-py has moved something: read its release notes and follow in redis_internals.py.
"""

import inspect
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio as aioredis
import redis.asyncio.sentinel
import redis.sentinel
from redis._parsers import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.connection import Connection
from redis.exceptions import ReadOnlyError

from bellhop.store.redis_internals import new_connection, parse_error, server_of, transport_of

POOLS = [redis.sentinel.SentinelConnectionPool, redis.asyncio.sentinel.SentinelConnectionPool]


def test_an_error_reply_has_its_class():
    assert callable(BaseParser.parse_error)
    assert isinstance(parse_error("READONLY You can't write against a read only replica."), ReadOnlyError)


async def test_a_connection_shows_its_transport_and_server(redis_url):
    client = aioredis.Redis.from_url(redis_url)
    connection = new_connection(client)
    assert isinstance(connection, AbstractConnection)
    await connection.connect()
    assert transport_of(connection).get_extra_info("peername")[1] == server_of(connection)[1]
    assert server_of(connection)[0] == urlsplit(redis_url).hostname
    await connection.disconnect()
    await client.aclose()


@pytest.mark.parametrize("pool", POOLS)
def test_a_sentinel_pool_knows_its_sentinels_and_its_primary(pool):
    sentinels = inspect.getmodule(pool).Sentinel([("one", 26379), ("two", 26379)])
    made = pool("calls", sentinels, socket_timeout=1.5)
    assert len(made.sentinel_manager.sentinels) == 2
    assert all(callable(each.sentinel_get_master_addr_by_name) for each in made.sentinel_manager.sentinels)
    assert (made.service_name, made.master_address) == ("calls", None)
    assert callable(made.get_master_address)
    assert made.connection_kwargs["socket_timeout"] == 1.5


def test_every_reply_passes_through_read_response():
    for method in ("read_response", "disconnect"):
        assert callable(getattr(Connection, method))
