"""What every test may use: a real Redis. And what no test is about: how busy this machine is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SAMPLES

# For a busy machine: what is tested is never how fast an example is made, or runs.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis for the whole run; tests that stop or starve it start their own."""
    with RedisServer(tmp_path_factory.mktemp("redis"), "--appendfsync", "no") as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def samples() -> Path:
    """Stream's wire format: events as they are posted, and the pushes its mobile SDKs parse."""
    return SAMPLES
