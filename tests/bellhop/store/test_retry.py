"""When Redis counts as unreachable, tested with the answers of a real Redis."""

import asyncio

import pytest
from redis.exceptions import RedisError, ResponseError

from bellhop.store.async_client import Store
from bellhop.store.redis_internals import parse_error
from bellhop.store.retry import is_away, until_redis_answers


@pytest.fixture
async def store(own_redis):
    store = Store.from_url(own_redis.url, timeout_s=20)
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("setting", "trouble", "mended"), [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")]
)
async def test_a_redis_that_does_not_write_is_asked_until_it_does(store, setting, trouble, mended):
    await store.call("CONFIG", "SET", setting, trouble)
    asked = 0

    async def write():
        nonlocal asked
        asked += 1
        return await store.script("registry/hold_back_ring", ["key"], ["caller", "1", "60"])

    asking = asyncio.create_task(until_redis_answers(write))
    while asked < 2:
        await asyncio.sleep(0.01)
    await store.call("CONFIG", "SET", setting, mended)
    await asyncio.wait_for(asking, 10)


async def test_a_replica_is_asked_until_it_is_a_primary(store, own_redis):
    await store.call("REPLICAOF", "127.0.0.1", str(own_redis.port))
    asking = asyncio.create_task(until_redis_answers(lambda: store.call("SET", "key", "value")))
    await asyncio.sleep(0.3)
    assert not asking.done()
    await store.call("REPLICAOF", "NO", "ONE")
    await asyncio.wait_for(asking, 10)


@pytest.mark.parametrize("word", ["OOM", "READONLY", "NOREPLICAS", "MISCONF"])
def test_redis_before_7_is_named_when_a_script_fails(word):
    said = f"ERR Error running script (call to f_085b95535bfb): @user_script:1: @user_script: 1: -{word} in many words."
    assert is_away(parse_error(said))
    assert not is_away(
        parse_error("ERR Error running script (call to f_085b): @user_script:1: user_script:1: no such thing")
    )


async def test_a_mistake_of_ours_is_raised_at_once(store):
    with pytest.raises(ResponseError):
        await until_redis_answers(lambda: store.call("NO_SUCH_COMMAND"))


async def test_a_redis_busy_with_a_script_is_asked_until_it_is_free(store):
    await store.call("CONFIG", "SET", "lua-time-limit", "1")
    forever = asyncio.create_task(store.client.eval("while true do end", 0))
    while not await is_busy(store):
        await asyncio.sleep(0.01)
    asking = asyncio.create_task(until_redis_answers(lambda: store.call("PING")))
    await asyncio.sleep(0.3)
    assert not asking.done()
    await store.call("SCRIPT", "KILL")
    await asyncio.wait_for(asking, 10)
    with pytest.raises(ResponseError):
        await forever


async def is_busy(store):
    try:
        await store.call("PING")
    except RedisError as error:
        return is_away(error)
    return False
