"""A worker dies with many jobs in flight: they are given back in short steps, as if in one."""

import time
from collections.abc import AsyncIterator

import pytest
import redis

from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import WORKERS, inflight_key, rq_job_key, rq_worker_key
from tests.worker.queue.conftest import PATIENT, QueueClient, script_commands
from worker.queue.dead_workers import JOBS_AT_ONCE, reap_workers, remove_worker
from worker.queue.lease import Lease
from worker.queue.worker_setup import QueueNames

JOBS = [f"job-{number}" for number in range(2500)]
OLD, NEW = "2026-01-01T00:00:00.000000Z", "2126-01-01T00:00:00.000000Z"


@pytest.fixture
async def lease(redis_url: str) -> AsyncIterator[Lease]:
    """Of a worker that lives."""
    store = Store.from_url(redis_url, timeout_s=20.0)
    lease = Lease(store, "living", QueueNames(["rings"]), lambda: {"state": "idle"}, PATIENT)
    await lease.renew()
    yield lease
    await store.close()


def died(client: redis.Redis, *job_ids: str, began: str = OLD) -> None:
    """A worker had begun these jobs, renewed its lease, and died; its lease has ended."""
    pipeline = client.pipeline(transaction=False)
    for job_id in job_ids:
        fields = {"status": "started", "worker_name": "dead", "started_at": began, "origin": "rings"}
        pipeline.hset(rq_job_key(job_id), mapping=fields)
        pipeline.zadd("rq:wip:rings", {f"{job_id}:dead": "inf"})
        pipeline.rpush(inflight_key("rings", "dead"), job_id)
    pipeline.sadd(WORKERS, "dead")
    pipeline.sadd("rq:workers", rq_worker_key("dead"))
    pipeline.hset(rq_worker_key("dead"), "renewed_ms", int(time.time() * 1000))
    pipeline.set("bellhop:workers:calm_since", 1)
    pipeline.execute()


def counts(client: redis.Redis, field: str) -> set[bytes | None]:
    return {client.hget(rq_job_key(job_id), field) for job_id in JOBS}


def gone(client: redis.Redis) -> bool:
    keys = (inflight_key("rings", "dead"), rq_worker_key("dead"), "rq:wip:rings", "rq:workers")
    return not client.exists(*keys[:3]) and rq_worker_key("dead").encode() not in client.smembers(keys[3])


@pytest.mark.parametrize("seen_by", ["reaper", "neighbour"])
async def test_all_jobs_come_back_in_order_and_unsuspected(
    queue_client: QueueClient, lease: Lease, seen_by: str
) -> None:
    queue_client.sleep("behind")
    died(queue_client.redis, *JOBS)
    if seen_by == "reaper":
        await reap_workers(lease.store, ["rings"], PATIENT)
    else:
        await remove_worker(lease.store, "dead", ["rings"], died=True)
    assert queue_client.queue.get_job_ids() == [*JOBS, "behind"]
    assert counts(queue_client.redis, "lost_workers") == {b"1"}
    assert counts(queue_client.redis, "suspicions") == {None}, "they were old, and did not run alone"
    await lease.renew()
    assert gone(queue_client.redis)


async def test_each_step_runs_few_commands(redis_client: redis.Redis, lease: Lease) -> None:
    died(redis_client, *JOBS)
    command = queue_scripts.remove_worker("dead", ["rings"], died=True, limit=JOBS_AT_ONCE)
    more, steps = 1, []
    while more:
        more, commands = script_commands(redis_client, command)
        steps.append(commands)
    assert len(steps) == len(JOBS) / JOBS_AT_ONCE + 1
    assert max(steps) < 12 * JOBS_AT_ONCE


async def test_of_newly_begun_jobs_each_is_suspected_once(redis_client: redis.Redis, lease: Lease) -> None:
    died(redis_client, *JOBS, began=NEW)
    await reap_workers(lease.store, ["rings"], PATIENT)
    assert counts(redis_client, "suspicions") == {b"1"}


@pytest.mark.parametrize("alone", [True, False])
async def test_what_ran_alone_is_decided_once(redis_client: redis.Redis, lease: Lease, alone: bool) -> None:
    died(redis_client, *JOBS[: 1 if alone else JOBS_AT_ONCE + 1])
    await reap_workers(lease.store, ["rings"], PATIENT)
    assert redis_client.hget(rq_job_key(JOBS[0]), "suspicions") == (b"1" if alone else None)


async def test_another_worker_goes_on_where_one_died(queue_client: QueueClient, lease: Lease) -> None:
    died(queue_client.redis, *JOBS)
    first_step = queue_scripts.remove_worker("dead", ["rings"], died=True, limit=JOBS_AT_ONCE)
    assert run_script(queue_client.redis, first_step)
    assert queue_client.queue.get_job_ids() == JOBS[-JOBS_AT_ONCE:], "and its caller dies"
    await reap_workers(lease.store, ["rings"], PATIENT)
    assert queue_client.queue.get_job_ids() == JOBS
    assert counts(queue_client.redis, "lost_workers") == {b"1"}
    assert counts(queue_client.redis, "suspicions") == {None}


async def test_a_worker_that_comes_back_keeps_the_rest(queue_client: QueueClient, lease: Lease) -> None:
    died(queue_client.redis, *JOBS)
    step = queue_scripts.reap_workers(
        ["rings"], lease_ms=PATIENT.lease_ms, silence_ms=PATIENT.silence_ms, limit=JOBS_AT_ONCE
    )
    assert run_script(queue_client.redis, step) == [1, b"dead", JOBS_AT_ONCE]
    paused = Lease(lease.store, "dead", QueueNames(["rings"]), lambda: {"state": "busy"}, PATIENT)
    assert await paused.renew(), "its lease had ended"
    await reap_workers(lease.store, ["rings"], PATIENT)
    assert queue_client.queue.get_job_ids() == JOBS[-JOBS_AT_ONCE:]
    assert queue_client.inflight("dead") == JOBS[:-JOBS_AT_ONCE]
    assert not queue_client.redis.hexists(rq_worker_key("dead"), "ran_alone"), "its next death is another"


async def test_jobs_of_a_worker_that_ends_come_back_uncounted(queue_client: QueueClient, lease: Lease) -> None:
    died(queue_client.redis, *JOBS)
    await remove_worker(lease.store, "dead", ["rings"], died=False)
    assert queue_client.queue.get_job_ids() == JOBS
    assert counts(queue_client.redis, "lost_workers") == {None}
    assert queue_client.redis.smembers(WORKERS) == {b"living"}
