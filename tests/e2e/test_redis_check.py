"""What `bellhop check` says of an installation without a problem, and of Redis."""

import asyncio
import re

import pytest
import redis

from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.redis_server import RedisServer
from tests.e2e.bellhop_command import bellhop

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_TOKEN = "0" * 64


async def test_all_is_well(installation):
    installation.apple.script(UNKNOWN_TOKEN, *[AppleReply(400, "BadDeviceToken")] * 2)
    status, output = await bellhop(installation, "check")
    assert status == 0, output
    for subject in (
        "Redis: answers in",
        f"ms: 127.0.0.1:{installation.redis.port}, database 0",
        "workers: 1 alive",
        "clock: the clock of worker",
        "clock: Google's clock is",
        "Stream default: Redis's clock is",
        "Stream default: API key demo-api-key, 1 secret",
        f"Stream default: a test webhook is taken at {installation.url}/webhooks/stream",
    ):
        assert subject in output
    for subject in ("Apple com.example.calls (production)", "(sandbox)", "Firebase example-calls"):
        assert f"{subject}: accepts the credentials" in output
    assert "its own pushes for rings, missed calls and notifications are off (1 call type)" in output
    assert "sends its events to 127.0.0.1" in output


async def test_redis_that_is_away_or_unsafe_is_named(installation):
    status, output = await bellhop(installation, "check", REDIS_URL="redis://127.0.0.1:1/0")
    assert status == 1
    assert "Redis: does not answer: connection refused: start Redis" in output
    await installation.store.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    status, output = await bellhop(installation, "check")
    await installation.store.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert status == 1
    assert "maxmemory-policy is allkeys-lru" in output
    status, output = await bellhop(installation, "check", REDIS_WAIT_REPLICAS=1)
    assert status == 1
    assert "0 replicas" in output


async def test_a_wrong_former_redis_is_named(installation, tmp_path):
    with RedisServer(tmp_path) as empty:
        for url, sentence in (
            ("redis://127.0.0.1:1/0", "does not answer: connection refused: start Redis, or check"),
            (installation.redis.url.replace("127.0.0.1", "localhost"), "is the own Redis: correct or remove"),
            (empty.url, f"no worker of Bellhop works at 127.0.0.1:{empty.port}, database 0: correct"),
            (f"{empty.url}?ssl_ca_cert=/ca.pem", "cannot be used, because of its name or of an option: correct"),
        ):
            status, output = await bellhop(installation, "check", REDIS_FORMER_URL=url)
            (line,) = [line for line in output.splitlines() if "Former Redis: " in line]
            assert (status, line.split()[0]) == (1, "problem")
            assert f"{sentence} BELLHOP_REDIS_FORMER_URL" in line


async def test_tls_to_a_port_without_tls_is_named(installation, tmp_path):
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        without_tls = server.url.replace("redis://", "rediss://:hunter2@")
        before = client.info("stats")["total_connections_received"]
        status, output = await bellhop(installation, "check", REDIS_URL=without_tls)
        opened = client.info("stats")["total_connections_received"] - before
        assert status == 1
        expected = "Redis: does not answer: the server speaks no TLS on this port: use redis:// in BELLHOP_REDIS_URL"
        assert expected in output
        assert opened < 10, "each further check would wait ten seconds for the server"
        status, output = await bellhop(installation, "devices", "list", "ben", REDIS_URL=without_tls)
    assert (status, output.count("\n")) == (1, 1)
    assert "the server speaks no TLS on this port" in output
    assert "hunter2" not in output


async def test_it_says_where_each_setting_comes_from(installation, tmp_path, monkeypatch):
    (tmp_path / "bellhop.toml").write_text("missed_grace_s = 6")
    monkeypatch.setenv("REDIS_URL", installation.redis.url)
    _, output = await bellhop(installation, "check", CONFIG=tmp_path / "bellhop.toml", REDIS_URL="")
    assert "Redis: answers in" in output
    assert "Settings: from REDIS_URL: redis_url\n" in output
    assert f"Settings: from {tmp_path}/bellhop.toml: missed_grace_s\n" in output
    assert "Settings: from variables: BELLHOP_STREAM_API_KEY, BELLHOP_STREAM_API_SECRET, " in output


async def test_what_it_says_of_persistence_keeps_the_data(installation, tmp_path):
    with RedisServer(tmp_path, "--appendonly", "no", "--save", "60 1") as server:
        _, output = await bellhop(installation, "check", REDIS_URL=server.url)
        (command,) = re.findall(r"warning +Redis: append-only persistence is off.* redis-cli (.*?), then", output)
        with redis.Redis.from_url(server.url) as client:
            client.set("a device", "registered")
            client.execute_command(*command.split())
            while client.info("persistence")["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.02)
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("a device") == b"registered"
        _, output = await bellhop(installation, "check", REDIS_URL=server.url)
        assert "append-only" not in output
