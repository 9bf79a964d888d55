"""What every test may use, and the names that all tests use for what they run against.

- `redis_url`, `redis_client`, `store`: an empty database of the Redis that the whole run shares, its blocking client
  and the asyncio client that the worker uses.
- `live_workers`: the workers w-1 and w-2 count as alive. No process runs.
- `own_redis`: a Redis that the test may stop, pause and cut off.
- `one_minute`: for tests of limits that count each minute, or each hour, alone.
- `start_worker`, `queue_client` (tests/worker/queue): a process with a queue worker that runs test jobs, and the client
  that queues them.
- `installation`: web process, workers and Redis as processes of their own, with stand-ins for Stream, Apple, Google and
  the mail server.
- `flow` (tests/flows): the users and calls of one test on the installation that all flows share.
- `crowd` (tests/kill): many users that are rung while a part of the installation is killed.
- `browser`: Flask's test client, logged in to the console or about to. `page`: a window of a real browser.
- `samples`: Stream's wire format.

Values (rounds, devices, pushes, settings) come from tests/factories.py.
"""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from bellhop.clock import Seconds
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SAMPLES
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking, partitions_of
from bellhop.store.homes import names_of
from bellhop.store.keys import lease_key
from tests.redis_cluster import RedisCluster
from tests.redis_servers import ON_CLUSTER, empty, new_redis

Installation.new_redis = new_redis

# A shell that starts the tests in the background makes them, and the processes they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# For a busy machine: what is tested is never how fast an example is made, or runs.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

TESTS = Path(__file__).parent
LONGEST = tuple(str(TESTS / name) for name in ("kill", "e2e", "upgrade", "worker/queue", "flows", "deploy"))
"""Folders whose files take longest. They begin first. Otherwise, one process of a parallel run would go on alone with a
long file at the end."""
WITHOUT_REDIS_TOO = tuple(str(TESTS / name) for name in ("bellhop", "worker"))
"""Folders with tests of both kinds: with a Redis, and without."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with-redis", action="store_true", help="leave out the tests of single modules without Redis")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not str(item.path).startswith(LONGEST))
    if config.getoption("--with-redis"):
        without = [item for item in items if str(item.path).startswith(WITHOUT_REDIS_TOO) and not starts_redis(item)]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


def starts_redis(item: pytest.Item) -> bool:
    """Tell whether a test has a fixture that starts a Redis, or its file can start one itself."""
    assert isinstance(item, pytest.Function)
    starting = {"redis_server", "own_redis", "cluster"}
    return not starting.isdisjoint(item.fixturenames) or "RedisServer" in vars(item.module)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis for the whole run; tests that stop or starve it start their own."""
    with new_redis(tmp_path_factory.mktemp("redis"), "--appendfsync", "no") as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters, which the tests of a file share."""
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database."""
    empty(redis_server)
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A blocking client of that database."""
    with blocking(redis_url, timeout_s=Seconds(5.0)) if ON_CLUSTER else redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    """The worker's client of that database. It waits as long as a busy machine may need."""
    store = Store.from_url(redis_url, timeout_s=Seconds(20.0))
    yield store
    await store.close()


@pytest.fixture
def live_workers(redis_client: redis.Redis) -> None:
    """Let the workers w-1 and w-2 count as alive."""
    for worker in ("w-1", "w-2"):
        for lease in names_of(lease_key(worker), partitions_of(redis_client)):
            redis_client.set(lease, 1)


@pytest.fixture
def one_minute() -> None:
    """Wait for the next minute if this one may end within the test: each minute, and each hour, is counted alone."""
    left_s = 60 - time.time() % 60
    if left_s < 15:
        time.sleep(left_s)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop, pause and cut off."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder, "--appendfsync", "always") as server:  # killed, it has all that it answered
        yield server


@pytest.fixture
def samples() -> Path:
    """Stream's wire format: events as they are posted, and the pushes its mobile SDKs parse."""
    return SAMPLES
