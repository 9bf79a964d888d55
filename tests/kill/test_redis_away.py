"""Redis is killed, paused or full while phones ring: no ring is lost or doubled, and nothing needs a restart."""

import asyncio
import os
import signal
import time

import pytest
import pytest_asyncio

from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from tests.kill.crowd import KILLS, Crowd, chance

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning"}


async def killed(installation):
    installation.redis.stop(signal.SIGKILL)
    await asyncio.sleep(1)
    await asyncio.to_thread(installation.redis.start)


async def killed_for_longer_than_a_lease(installation):
    installation.redis.stop(signal.SIGKILL)
    await asyncio.sleep(5)
    await asyncio.to_thread(installation.redis.start)


async def paused(installation):
    os.kill(installation.redis.pid, signal.SIGSTOP)
    await asyncio.sleep(10)
    os.kill(installation.redis.pid, signal.SIGCONT)


async def full(installation):
    await installation.store.call("CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(5)
    await installation.store.call("CONFIG", "SET", "maxmemory", "0")


async def without_replicas(installation):
    """Like a primary without replicas that is configured to write only with some."""
    await installation.store.call("CONFIG", "SET", "min-replicas-to-write", "1")
    await asyncio.sleep(5)
    await installation.store.call("CONFIG", "SET", "min-replicas-to-write", "0")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory):
    """One installation for all faults: a fault that leaves it broken makes the next test fail."""
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, SETTINGS, workers=2)
    installation.redis = RedisServer(folder, "--appendfsync", "always")
    async with installation:
        crowd = Crowd(installation)
        await crowd.grow(200)
        yield crowd


@pytest.mark.parametrize("fault", [killed, killed_for_longer_than_a_lease, paused, full, without_replicas])
@pytest.mark.timeout(60 + 20 * KILLS)
async def test_every_ring_that_was_taken_arrives_once(crowd, fault):
    random, installation = chance(), crowd.installation
    for _ in range(max(1, KILLS // 5)):
        crowd.answers_take(0.5)
        rings = crowd.calls()
        posting = asyncio.create_task(crowd.post(rings, over_s=1))
        wait_s = random.uniform(0, 1.2)
        await asyncio.sleep(wait_s)
        await fault(installation)
        back_at = time.time()
        await posting
        assert all(ring.taken for ring in rings)
        await crowd.all_rang(rings)
        await crowd.all_answered(rings)
        await crowd.all_settled(rings)
        assert not await crowd.rang_too_often(rings)
        late_s = max(crowd.rang(ring)[0] for ring in rings) - back_at
        repeated = sum(ring.posts > 1 for ring in rings)
        print(f"{fault.__name__} {wait_s:.2f} s in: the last ring {late_s:.1f} s after it, {repeated} repeated")
    assert all(process.poll() is None for process in installation.processes.values()), "nothing ended"
