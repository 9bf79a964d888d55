"""The primary is killed while phones ring: with Sentinel, no acknowledged ring is lost, and nothing needs a restart."""

import asyncio
import os
import signal
import time
from collections import Counter

import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.sandbox.installation import Installation
from bellhop.store.async_client import Store
from bellhop.store.retry import until_redis_answers
from tests.kill.crowd import KILLS, Crowd, chance
from tests.kill.sentinels import Sentinels

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"MISSED_GRACE_S": "60", "LOG_LEVEL": "warning", "REDIS_WAIT_REPLICAS": "1"}

REPLICATION_S = 1.0
"""How far behind its primary a replica may be on a busy machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, SETTINGS, workers=2)
    installation.redis = Sentinels(folder)
    async with installation:
        crowd = Crowd(installation)
        await crowd.grow(150)
        yield crowd


async def killed(sentinels):
    """Returns when another primary was named. The old one comes back as a replica."""
    dead = sentinels.kill_primary()
    await asyncio.to_thread(sentinels.wait_for_another, dead)
    named_at = time.time()
    dead.start()
    return named_at


async def hung(sentinels):
    """Returns when another primary was named. The connections of the old one stay open, and when it continues it still
    acts as a primary, until it is a replica."""
    old = sentinels.primary()
    os.kill(old.pid, signal.SIGSTOP)
    await asyncio.to_thread(sentinels.wait_for_another, old)
    named_at = time.time()
    os.kill(old.pid, signal.SIGCONT)
    await asyncio.to_thread(sentinels.settle)
    return named_at


@pytest.mark.parametrize("fault", [killed, hung])
@pytest.mark.timeout(120 + 30 * KILLS)
async def test_no_acknowledged_ring_is_lost_with_its_primary(crowd, fault):
    random, installation = chance(), crowd.installation
    for _ in range(max(1, KILLS // 5)):
        crowd.answers_take(0.5)
        await asyncio.to_thread(installation.redis.settle)
        rings = crowd.calls()
        posting = asyncio.create_task(crowd.post(rings, over_s=2))
        await asyncio.sleep(wait_s := random.uniform(0.3, 1.8))
        struck_at = time.time()
        gap_s = await fault(installation.redis) - struck_at
        replaced_at = time.time()
        await posting
        assert all(ring.taken for ring in rings)
        await crowd.all_rang(rings)
        await crowd.all_settled(rings)
        times = Counter(len(crowd.rang(ring)) for ring in rings)
        # Claims and records that only the old primary had, of its last moment or after its return, are lost. Later ones
        # are not.
        lost = [ring for ring in rings if struck_at - REPLICATION_S < crowd.rang(ring)[0] < replaced_at]
        twice = [ring for ring in rings if await crowd.repeats(ring) > (ring in lost)]
        assert not twice, (times, await crowd.tell(twice))
        late_s = max(crowd.rang(ring)[0] for ring in rings) - struck_at
        assert late_s - gap_s < 7, "a process that stays with the old primary needs ten seconds more"
        repeated = sum(ring.posts > 1 for ring in rings)
        print(
            f"{fault.__name__} {wait_s:.2f} s in: a primary {gap_s:.1f} s later, the last ring {late_s:.1f} s later; "
            f"{repeated} posted again; {dict(times)}"
        )
    assert all(process.poll() is None for process in installation.processes.values()), "nothing ended"


async def test_what_a_primary_answers_that_hung_is_not_believed(tmp_path):
    sentinels = Sentinels(tmp_path).start()
    store = Store.from_url(sentinels.url, timeout_s=30)
    try:
        await asyncio.to_thread(sentinels.settle)
        await store.call("SET", "key", "before")
        hanging = asyncio.create_task(hung(sentinels))
        await asyncio.sleep(0)  # it is stopped now
        written = asyncio.create_task(store.call("SET", "key", "lost with the old primary"))
        await hanging
        with pytest.raises(RedisConnectionError):
            await written
        await until_redis_answers(lambda: store.call("SET", "key", "kept"))
        await asyncio.to_thread(sentinels.settle)
        assert await store.call("GET", "key") == b"kept"
    finally:
        await store.close()
        sentinels.stop()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGTERM])
async def test_a_primary_that_answers_is_kept_without_sentinels(crowd, how):
    for process in crowd.installation.redis.processes:
        process.send_signal(how)
    rings = crowd.calls(40)
    await crowd.post(rings, over_s=2)
    await crowd.all_rang(rings)
    for process in crowd.installation.redis.processes:
        process.send_signal(signal.SIGCONT)
    assert [ring.posts for ring in rings] == [1] * len(rings)
