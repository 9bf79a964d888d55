"""How many Redis commands one run of a job takes, as Redis counts them: those inside scripts included."""

import pytest
import redis

from bellhop.store.async_client import Store
from tests.worker.queue.test_idle_workers import commands
from worker.queue.job_store import JobStore, StartedJob


def queue_job(client: redis.Redis, job_id: str) -> None:
    """Queue a job as the web process does."""
    client.hset(f"rq:job:{job_id}", mapping={"status": "queued", "origin": "rings", "data": "[]", "timeout": 60})
    client.rpush("rq:queue:rings", job_id)


async def take(jobs: JobStore, store: Store, most: int) -> list[StartedJob]:
    return (await jobs.take_jobs(store, "rings", most, 1)).jobs


async def test_a_job_takes_few_commands(redis_client: redis.Redis, store: Store) -> None:
    await store.load_scripts()
    jobs, taken = JobStore(store, "w-1"), []

    async def take_and_finish() -> None:
        taken.extend(await take(jobs, store, 4))
        assert await jobs.finish("rings", taken[-1])

    queue_job(redis_client, "a")
    assert await commands(redis_client, take_and_finish) == 7 + 6, "BLMOVE, take_jobs, finish_job"
    assert redis_client.hget("rq:job:a", "status") == b"finished"
    assert redis_client.hget("rq:job:a", "ended_at") >= taken[0].began


async def test_a_job_that_ran_before_does_not_expire(redis_client: redis.Redis, store: Store) -> None:
    jobs = JobStore(store, "w-1")
    for _ in range(2):
        queue_job(redis_client, "a")
        (job,) = await take(jobs, store, 1)
        assert redis_client.ttl("rq:job:a") == -1
        await jobs.finish("rings", job)
        assert redis_client.ttl("rq:job:a") > 0


@pytest.mark.parametrize("ended", ["finished", "given back"])
async def test_a_run_that_ended_is_not_shown(redis_client: redis.Redis, store: Store, ended: str) -> None:
    jobs = JobStore(store, "w-1")
    queue_job(redis_client, "a")
    (job,) = await take(jobs, store, 1)
    await jobs.show_runs("rings", [(job, 2.0)])
    assert redis_client.zrange("rq:executions:a", 0, -1) == [b"w-1"]
    assert redis_client.zrange("rq:wip:rings", 0, -1) == [b"a:w-1"]
    if ended == "finished":
        await jobs.finish("rings", job, shown=True)
    else:
        await jobs.hand_back("rings", job)
    assert redis_client.keys("rq:execution*") + redis_client.keys("rq:wip:*") == []
    await jobs.show_runs("rings", [(job, 2.0)])
    assert redis_client.keys("rq:execution*") + redis_client.keys("rq:wip:*") == []


async def test_the_end_of_a_run_may_be_recorded_again(redis_client: redis.Redis, store: Store) -> None:
    """The answer to the first record was lost."""
    jobs = JobStore(store, "w-1")
    queue_job(redis_client, "a")
    (job,) = await take(jobs, store, 1)
    assert [await jobs.finish("rings", job) for _ in range(2)] == [True, True]
    assert not await JobStore(store, "w-2").finish("rings", job._replace(began=b"another run"))


@pytest.mark.parametrize(
    ("retries", "status"),
    [
        ({}, "failed"),
        ({"retries_left": 1}, "queued"),
        ({"retries_left": 1, "retry_intervals": "[60]"}, "scheduled"),
    ],
)
async def test_a_failure_may_be_recorded_again(
    redis_client: redis.Redis, store: Store, retries: dict[str, int | str], status: str
) -> None:
    jobs = JobStore(store, "w-1")
    queue_job(redis_client, "a")
    (job,) = await take(jobs, store, 1)
    if retries:
        redis_client.hset("rq:job:a", mapping=retries)
    assert [await jobs.fail("rings", job, "a reason", "retry") for _ in range(2)] == [status, status]
    assert redis_client.llen("rq:queue:rings") == (status == "queued")
    assert await jobs.fail("rings", job._replace(began=b"another run"), "a reason", "retry") is None
