"""What every test may use: a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from worker.sandbox.redis import RedisServer


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
    return Path(__file__).parent / "samples"
