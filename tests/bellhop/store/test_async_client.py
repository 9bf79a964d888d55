"""The worker's way to Redis, over everything that a Redis URL can say and through everything that can go wrong."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bellhop.clock import iso
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.tls import Authority
from bellhop.store import call_scripts, scripts
from bellhop.store.async_client import Store
from bellhop.store.retry import until_redis_answers
from tests.proxy import Proxy
from tests.waiting import come_true

HUNG_S = 60


async def test_answers_come_back_in_bytes(store: Store) -> None:
    await store.call("SET", "text", "ü")
    assert await store.call("GET", "text") == "ü".encode()
    assert await store.call("GET", "nothing") is None
    assert await store.call("RPUSH", "list", b"\xff", 1, 1.5) == 3
    assert await store.call("LRANGE", "list", 0, -1) == [b"\xff", b"1", b"1.5"]


async def test_redis_own_words_are_raised(store: Store) -> None:
    with pytest.raises(ResponseError, match="wrong kind of value"):
        await store.call("SET", "text", "a")
        await store.call("LPUSH", "text", "b")
    assert await store.call("GET", "text") == b"a"


async def test_a_script_runs_whether_or_not_redis_knows_it(store: Store) -> None:
    await store.call("SCRIPT", "FLUSH")
    assert await store.script("providers/replace_provider_token", ["token"], ["", "new", 60]) == b"new"
    assert await store.script("providers/replace_provider_token", ["token"], [b"new", "newer", 60]) == b"newer"
    await store.call("SCRIPT", "FLUSH")
    assert await store.script("providers/replace_provider_token", ["token"], ["newer", 7, 60]) == b"7"


async def test_loaded_scripts_are_known_to_redis(store: Store) -> None:
    await store.call("SCRIPT", "FLUSH")
    await store.load_scripts()
    hashes = [scripts.sha1(name) for name in scripts.names()]
    assert await store.call("SCRIPT", "EXISTS", *hashes) == [1] * len(hashes)


async def test_concurrent_calls_share_one_connection(store: Store) -> None:
    answers = await asyncio.gather(*(store.call("ECHO", str(number)) for number in range(500)))
    assert answers == [str(number).encode() for number in range(500)]
    clients = (await store.call("CLIENT", "LIST")).decode()
    # Redis 6.2 does not say which of CLIENT's commands it was.
    assert len(re.findall(r" cmd=(?:echo|client|client\|list) ", clients)) == 1


async def test_one_call_that_redis_refuses_spoils_no_other(store: Store) -> None:
    answers = await asyncio.gather(
        store.call("ECHO", "a"), store.call("NO_SUCH_COMMAND"), store.call("ECHO", "b"), return_exceptions=True
    )
    assert (answers[0], type(answers[1]), answers[2]) == (b"a", ResponseError, b"b")


async def test_a_cancelled_call_leaves_no_answer_to_the_next(store: Store, redis_client: redis.Redis) -> None:
    blocked = asyncio.create_task(store.call("BLPOP", "empty", 0))
    await asyncio.sleep(0.1)
    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    redis_client.rpush("empty", "not mine")
    assert await store.call("ECHO", "mine") == b"mine"


async def test_an_answer_of_many_megabytes_arrives_whole(store: Store) -> None:
    await store.call("SET", "large", b"x" * 8_000_000)
    large, small = await asyncio.gather(store.call("GET", "large"), store.call("ECHO", "after"))
    assert (len(large), small) == (8_000_000, b"after")


async def test_a_server_that_became_a_replica_is_left(own_redis: RedisServer) -> None:
    store = Store.from_url(own_redis.url)
    await store.call("REPLICAOF", "127.0.0.1", own_redis.port)
    number = await store.call("CLIENT", "ID")
    with pytest.raises(RedisConnectionError):
        await store.call("SET", "key", "value")
    assert await store.call("CLIENT", "ID") != number
    await store.close()


async def test_a_server_that_is_not_redis_raises(tmp_path: Path) -> None:
    def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    store = Store.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    with pytest.raises(RedisError):
        await store.call("PING")
    await store.close()
    server.close()


async def test_a_hung_redis_raises_and_is_forgiven(own_redis: RedisServer) -> None:
    store = Store.from_url(own_redis.url, connections=2, timeout_s=0.3)
    await until_redis_answers(lambda: store.call("PING"))
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(HUNG_S):
            results = await asyncio.gather(*(store.call("PING") for _ in range(10)), return_exceptions=True)
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    assert {type(result) for result in results} <= {RedisTimeoutError, RedisConnectionError}
    assert RedisTimeoutError in {type(result) for result in results}
    assert await until_redis_answers(lambda: store.call("ECHO", "back")) == b"back"
    await store.close()


async def test_a_redis_that_is_gone_raises_and_is_found_again(own_redis: RedisServer) -> None:
    store = Store.from_url(own_redis.url)
    await store.call("SET", "key", "kept")
    own_redis.stop()
    with pytest.raises(RedisConnectionError):
        await store.call("GET", "key")
    own_redis.start()
    assert await store.call("GET", "key") == b"kept"
    await store.close()


async def test_a_command_whose_answer_was_lost_is_not_repeated(own_redis: RedisServer) -> None:
    with Proxy(own_redis.port) as proxy:
        store = Store.from_url(proxy.url)
        proxy.lose_answer(b"INCR", b"")
        with pytest.raises(RedisConnectionError):
            await store.call("INCR", "count")
        assert await store.call("GET", "count") == b"1"
        await store.close()


async def test_a_connection_that_died_in_its_sleep_costs_no_error(redis_url: str) -> None:
    store = Store.from_url(redis_url, connections=1)
    number = await store.call("CLIENT", "ID")
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_id=number)
    await come_true(lambda: store.connection is None)
    assert await store.call("INCR", "count") == 1
    await store.close()


async def test_user_password_and_database_come_from_the_url(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", "bell", "on", ">p@ss", "~*", "+@all")
        store = Store.from_url(f"redis://bell:p%40ss@127.0.0.1:{own_redis.port}/3")
        await store.call("SET", "here", "1")
        assert await store.call("ACL", "WHOAMI") == b"bell"
        assert admin.info("keyspace").keys() == {"db3"}
    await store.close()
    stranger = Store.from_url(f"redis://bell:wrong@127.0.0.1:{own_redis.port}/3")
    with pytest.raises(RedisError, match=r"WRONGPASS|invalid username"):
        await stranger.call("PING")
    await stranger.close()


async def test_unix_sockets(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")):
        store = Store.from_url(f"unix://{tmp_path}/redis.sock?db=2")
        assert await store.call("ECHO", "hello") == b"hello"
        await store.close()


async def test_tls_with_a_ca_of_ones_own(own_redis: RedisServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", own_redis.port)
        pipes.update({asyncio.create_task(pipe(reader, redis_writer)), asyncio.create_task(pipe(redis_reader, writer))})

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=authority.server_context())
    port = server.sockets[0].getsockname()[1]
    store = Store.from_url(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.ca_file}")
    assert await store.call("ECHO", "hello") == b"hello"
    await store.close()
    suspicious = Store.from_url(f"rediss://127.0.0.1:{port}/0")
    with pytest.raises(RedisConnectionError, match="certificate"):
        await suspicious.call("PING")
    await suspicious.close()
    server.close()
    await asyncio.gather(*pipes)


CLOCK = """
-- include: lib/clock
return { iso(tonumber(ARGV[1])), string.format('%.0f', now_us()) }
"""


@pytest.mark.parametrize(
    "at",
    [0, 951_782_399_999_999, 951_782_400_000_000, 1_709_164_800_000_000, 1_767_225_599_000_001, 4_107_542_399_999_999],
)
async def test_redis_words_a_moment_as_python_does(store: Store, at: int) -> None:
    """Around leap days and new years, 2000 and 2100 among them."""
    source = scripts.INCLUDE.sub(lambda match: scripts.source(match[1]), CLOCK)
    said, now = await store.call("EVAL", source, 0, at)
    assert said.decode() == iso(at)
    assert abs(int(now) / 1e6 - time.time()) < 60


async def test_a_command_that_cannot_be_encoded_takes_no_answer(store: Store) -> None:
    await asyncio.gather(store.call("SET", "a", "A"), store.call("SET", "b", "B"))
    with pytest.raises(UnicodeEncodeError):
        await store.call("SET", "x", "\ud800")
    assert await asyncio.gather(store.call("GET", "a"), store.call("GET", "b")) == [b"A", b"B"]


async def test_pipelined_commands_run_in_order_and_raise_an_error(store: Store) -> None:
    assert await store.together(("RPUSH", "list", 1), ("RPUSH", "list", 2), ("LRANGE", "list", 0, -1)) == [
        1,
        2,
        [b"1", b"2"],
    ]
    with pytest.raises(ResponseError, match="wrong kind of value"):
        await store.together(("INCR", "list"), ("RPUSH", "list", 3))
    assert await store.call("LLEN", "list") == 3


async def test_scripts_that_redis_forgot_are_sent_again_in_order(store: Store) -> None:
    await store.call("SCRIPT", "FLUSH")
    claim = call_scripts.claim_question("default", "nothing", "s-1", run="run", claim_ms=60_000)
    assert await store.together(claim, ("RPUSH", "list", 1), claim) == [b"go", 1, b"go"]
