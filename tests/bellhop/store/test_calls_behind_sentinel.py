"""A call is read from a Redis that a Sentinel names. What happens at a failover is in tests/kill/test_failover.py."""

import subprocess

import pytest
from redis import Redis
from redis.exceptions import RedisError

from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.redis_server import server_binary
from bellhop.store.async_client import Store
from bellhop.store.keys import call_key
from bellhop.store.stored_call import read_call
from tests.waiting import come_true


@pytest.fixture
async def store(redis_server, redis_url, tmp_path):
    port, file = free_port(), tmp_path / "sentinel.conf"
    monitor = f"sentinel monitor bellhop 127.0.0.1 {redis_server.port} 1"
    file.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n{monitor}\n")
    process = subprocess.Popen([server_binary(), str(file), "--sentinel"], preexec_fn=end_with_parent)  # noqa: PLW1509 - it makes one system call
    store = Store.from_url(f"redis+sentinel://127.0.0.1:{port}/bellhop/0")
    try:
        await come_true(lambda: answers(port))
        yield store
    finally:
        await store.close()
        process.terminate()
        process.wait()


def answers(port):
    try:
        with Redis(port=port) as sentinel:
            return sentinel.ping()
    except RedisError:
        return False


async def test_a_call_without_rounds_is_read(store):
    assert (await read_call(store, "default", "default:unknown")).fields == {}
    await store.call("HSET", call_key("default", "default:1"), "ended", "5")
    stored = await read_call(store, "default", "default:1")
    assert (stored.stamps, stored.rounds) == ({"ended": 5}, {})
