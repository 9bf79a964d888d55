"""Which workers are alive, and when others may take over their jobs. Times are short here."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKERS_SEEN, WORKERS_TURN, inflight_key, neighbours_turn_key
from tests.worker.queue.conftest import QueueClient
from worker.queue.dead_workers import Neighbours, reap_workers
from worker.queue.lease import Lease
from worker.queue.lease_times import LeaseTimes
from worker.queue.worker_setup import QueueNames

LEASE_S = 0.4

SHORT = LeaseTimes(lease_ms=int(LEASE_S * 1000), silence_ms=200)
LONG = LeaseTimes(lease_ms=60_000, silence_ms=200)

MakeLease = Callable[..., Lease]


@pytest.fixture
async def make_lease() -> AsyncIterator[MakeLease]:
    made = []

    def make(url: str, name: str, times: LeaseTimes = SHORT) -> Lease:
        made.append(
            Lease(Store.from_url(url, timeout_s=20.0), name, QueueNames(["rings"]), lambda: {"state": "idle"}, times)
        )
        return made[-1]

    yield make
    for lease in made:
        await lease.store.close()


def hold(queue_client: QueueClient, worker: str, *job_ids: str) -> None:
    """Put jobs onto the in-flight list of a worker."""
    for job_id in job_ids:
        queue_client.sleep(job_id)
        queue_client.redis.lmove(queue_client.queue.key, inflight_key("rings", worker), "LEFT", "RIGHT")


async def reap(lease: Lease) -> None:
    await reap_workers(lease.store, ["rings"], SHORT)


async def keep_renewing(*leases: Lease, seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        for lease in leases:
            tasks.create_task(renew_for(lease, seconds))


async def renew_for(lease: Lease, seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await lease.renew()
        await reap(lease)
        await asyncio.sleep(0.02)


async def test_a_worker_that_stops_renewing_loses_its_jobs(queue_client: QueueClient, make_lease: MakeLease) -> None:
    living, dying = make_lease(queue_client.url, "living"), make_lease(queue_client.url, "dying")
    await keep_renewing(living, dying, seconds=2 * LEASE_S)
    hold(queue_client, "dying", "a", "b")
    queue_client.sleep("c")
    assert queue_client.queue.job_ids == ["c"]
    async with asyncio.timeout(20):
        while queue_client.queue.job_ids == ["c"]:
            await keep_renewing(living, seconds=LEASE_S)
    assert queue_client.queue.job_ids == ["a", "b", "c"]
    assert queue_client.redis.smembers("bellhop:workers") == {b"living"}
    assert queue_client.redis.smembers("rq:workers") == {b"rq:worker:living"}


async def test_after_a_silence_workers_have_time_to_renew(queue_client: QueueClient, make_lease: MakeLease) -> None:
    early, late = make_lease(queue_client.url, "early"), make_lease(queue_client.url, "late")
    await keep_renewing(early, late, seconds=3 * LEASE_S)
    hold(queue_client, "late", "a")
    await asyncio.sleep(2 * LEASE_S)  # as when Redis is paused: every lease has ended
    assert queue_client.redis.keys("bellhop:worker:*") == []
    await early.renew()
    await reap(early)
    assert queue_client.queue.job_ids == []
    assert await late.renew()


async def test_nobody_is_reaped_before_a_renewal_ends_a_silence(
    queue_client: QueueClient, make_lease: MakeLease
) -> None:
    lease = make_lease(queue_client.url, "lease")
    await keep_renewing(lease, seconds=3 * LEASE_S)
    hold(queue_client, "lease", "a")
    await asyncio.sleep(2 * LEASE_S)
    await reap(lease)  # as when the call waited in the buffer of a paused Redis
    assert queue_client.queue.job_ids == []


async def test_a_worker_is_healthy_while_its_lease_is_sure(own_redis: RedisServer, make_lease: MakeLease) -> None:
    times = LeaseTimes(lease_ms=8_000, silence_ms=200)  # Redis may take seconds to end
    lease = make_lease(own_redis.url, "w", times)
    assert not lease.healthy
    assert await lease.renew()
    assert lease.healthy
    assert not await lease.renew()
    own_redis.stop()
    await lease.renew()
    assert lease.healthy  # until the last renewal is too old
    await asyncio.sleep(8)
    assert not lease.healthy
    with pytest.raises(RedisError):
        await reap(lease)


async def test_a_turn_ends_although_the_clock_was_set_back(queue_client: QueueClient, make_lease: MakeLease) -> None:
    """Redis keeps the moment at which a key expires: with its clock set back by an hour, keys stay an hour longer."""
    times = LeaseTimes(lease_ms=60_000, silence_ms=200, turn_ms=60_000)
    dying, living = (make_lease(queue_client.url, name, times) for name in ("dying", "living"))
    client = queue_client.redis
    await dying.renew()
    assert dying.has_turn
    turns = [WORKERS_TURN, *client.scan_iter(neighbours_turn_key("*"))]
    for turn in turns:
        client.pexpire(turn, 3_600_000)
    client.incrby(WORKERS_SEEN, 3_600_000)
    await living.renew()
    assert living.has_turn
    assert all(0 < client.pttl(turn) <= times.turn_ms for turn in turns)


async def test_an_expired_lease_is_reported(queue_client: QueueClient, make_lease: MakeLease) -> None:
    lease = make_lease(queue_client.url, "w")
    await lease.renew()
    await asyncio.sleep(2 * LEASE_S)
    assert await lease.renew()


async def test_an_expired_lease_is_reported_after_a_lost_answer(
    queue_client: QueueClient, make_lease: MakeLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = make_lease(queue_client.url, "w")
    await lease.renew()
    await asyncio.sleep(2 * LEASE_S)
    lease._times = LONG  # from now on, no pause of this machine ends it

    async def loses_the_answer(*step: Any) -> None:
        await type(lease.store).script(lease.store, *step)
        raise RedisConnectionError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(lease.store, "script", loses_the_answer)
        assert not await lease.renew()
    assert await lease.renew()
    assert not await lease.renew()


async def test_leaving_gives_back_what_is_left_and_forgets_the_worker(
    queue_client: QueueClient, make_lease: MakeLease
) -> None:
    lease = make_lease(queue_client.url, "w")
    await lease.renew()
    hold(queue_client, "w", "a", "b")
    await lease.release()
    assert queue_client.queue.job_ids == ["a", "b"]
    assert not lease.healthy
    assert queue_client.redis.smembers("bellhop:workers") == set()
    assert queue_client.redis.keys("bellhop:worker:*") + queue_client.redis.keys("rq:worker:*") == []


async def test_what_ended_or_expired_is_not_given_back(queue_client: QueueClient, make_lease: MakeLease) -> None:
    lease = make_lease(queue_client.url, "w")
    await lease.renew()
    hold(queue_client, "w", "finished", "expired", "waiting")
    queue_client.redis.hset("rq:job:finished", "status", "finished")
    queue_client.redis.delete("rq:job:expired")
    await lease.release()
    assert queue_client.queue.job_ids == ["waiting"]
    assert queue_client.inflight() == []


RENEW_ONCE = """
import asyncio, os, sys
from bellhop.store.async_client import Store
from worker.queue.lease import Lease
from worker.queue.worker_setup import QueueNames
describe = lambda: {"state": "busy", "pid": os.getpid(), "queues": "rings"}
asyncio.run(Lease(Store.from_url(sys.argv[1], timeout_s=20.0), "neighbour", QueueNames(["rings"]), describe).renew())
print("renewed", flush=True)
sys.stdin.read()
"""


async def test_a_killed_neighbour_is_removed_before_its_lease_ends(
    queue_client: QueueClient, redis_url: str, make_lease: MakeLease
) -> None:
    neighbour = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RENEW_ONCE, redis_url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert await neighbour.stdout.readline() == b"renewed\n"
    queue_client.redis.pexpire("bellhop:worker:neighbour", 60_000)
    hold(queue_client, "neighbour", "held")
    mine = make_lease(redis_url, "mine", LONG)
    neighbours = Neighbours(mine.store, mine.name)
    await mine.renew()
    await neighbours.remove_dead()
    assert queue_client.queue.get_job_ids() == [], "it lives"
    neighbour.kill()
    await neighbour.wait()
    await neighbours.remove_dead()
    assert queue_client.queue.get_job_ids() == ["held"]
    assert not queue_client.redis.exists("bellhop:worker:neighbour")


async def test_a_neighbour_that_cannot_be_inspected_is_kept(
    queue_client: QueueClient, redis_url: str, make_lease: MakeLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where /proc hides other users' processes, which systemd's ProtectProc= does."""

    def not_ours(pid: int, number: int) -> None:
        raise PermissionError

    describe = lambda: {"state": "busy", "pid": "999999999", "queues": "rings"}  # noqa: E731
    mine = make_lease(redis_url, "mine")
    await Lease(mine.store, "neighbour", QueueNames(["rings"]), describe, SHORT).renew()
    hold(queue_client, "neighbour", "held")
    neighbours = Neighbours(mine.store, mine.name)
    await mine.renew()
    monkeypatch.setattr(os, "kill", not_ours)
    await neighbours.remove_dead()
    assert queue_client.queue.get_job_ids() == []
    monkeypatch.undo()
    await neighbours.remove_dead()
    assert queue_client.queue.get_job_ids() == ["held"]


async def test_a_dead_neighbour_is_removed_once(redis_url: str, make_lease: MakeLease) -> None:
    neighbour = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RENEW_ONCE, redis_url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert await neighbour.stdout.readline() == b"renewed\n"
    mine = make_lease(redis_url, "mine", LONG)
    workers = [Neighbours(mine.store, name) for name in ("mine", "another")]
    with structlog.testing.capture_logs() as lines:
        for neighbours in workers:
            await neighbours.remove_dead()
        assert lines == [], "it lives"
        neighbour.kill()
        await neighbour.wait()
        for neighbours in workers * 3:
            await neighbours.remove_dead()
    assert [(line["event"], line["worker"]) for line in lines] == [("worker_died", "neighbour")]


async def test_a_job_for_the_last_take_of_a_removed_worker_is_found(
    queue_client: QueueClient, redis_url: str, make_lease: MakeLease
) -> None:
    """Redis has not noticed the death: something between them keeps the connection open."""
    mine = make_lease(redis_url, "mine")
    neighbours = Neighbours(mine.store, mine.name)
    dead = Lease(
        mine.store,
        "dead",
        QueueNames(["rings"]),
        lambda: {"state": "busy", "pid": "0", "queues": "rings"},
        LONG,
    )
    await dead.renew()
    await renew_for(mine, 3 * LEASE_S)  # from now on it may presume workers dead
    await neighbours.remove_dead()
    hold(queue_client, "dead", "late")
    async with asyncio.timeout(20):
        while queue_client.queue.get_job_ids() != ["late"]:
            await renew_for(mine, LEASE_S)
    queue_client.redis.delete("bellhop:buried:dead")  # in some seconds
    async with asyncio.timeout(20):  # after a pause of this machine, nobody is presumed dead for a while
        while queue_client.redis.smembers("bellhop:workers") != {b"mine"}:
            await renew_for(mine, LEASE_S)


async def test_a_worker_of_another_pid_namespace_is_left_to_its_lease(
    queue_client: QueueClient, redis_url: str, make_lease: MakeLease
) -> None:
    hold(queue_client, "far", "held")
    queue_client.redis.sadd("bellhop:workers", "far", "old")
    queue_client.redis.hset("rq:worker:far", mapping={"place": "elsewhere", "pid": "999999999", "queues": "rings"})
    mine = make_lease(redis_url, "mine")
    neighbours = Neighbours(mine.store, mine.name)
    await mine.renew()
    await neighbours.remove_dead()
    assert queue_client.queue.get_job_ids() == []
