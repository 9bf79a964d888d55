"""Scripts of the queue fail at each of their commands in turn; each job still runs, and runs once."""

import itertools

import pytest

from bellhop.store import queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import (
    WORKERS,
    WORKERS_CALM_SINCE,
    WORKERS_SEEN,
    inflight_key,
    lease_key,
    rq_job_key,
    rq_queue_key,
    rq_registry_key,
    rq_results_key,
)
from tests.bellhop.store.test_scripts_that_fail import fails

LATE = {"deadline": 1}
FOREIGN = {"status": "failed", "ended_at": "2000-01-01T00:00:00Z", "enqueued_at": "2100-01-01T00:00:00Z"}
NOW_S = 4_000_000_000


def queue_jobs(client, *ids, **fields):
    for job_id in ids:
        client.hset(rq_job_key(job_id), mapping={"status": "queued", "data": '["jobs.ring",null,[{}],{}]'} | fields)
        client.rpush(rq_queue_key("rings"), job_id)


def begin_jobs(client, worker, *ids):
    """Let a worker begin jobs, as BLMOVE and take_jobs do."""
    queue_jobs(client, *ids)
    client.set(lease_key(worker), 1)
    client.lmove(rq_queue_key("rings"), inflight_key("rings", worker), "LEFT", "RIGHT")
    run_script(client, queue_scripts.take_jobs("rings", worker, len(ids)))


def jobs_of_a_dead_worker(client):
    begin_jobs(client, "dead", "a", "b")
    client.delete(lease_key("dead"))
    client.sadd(WORKERS, "dead")
    client.mset({WORKERS_SEEN: int(client.time()[0] * 1000), WORKERS_CALM_SINCE: 1})


def scheduled_jobs(client):
    queue_jobs(client, "a", "b", status="scheduled")
    client.delete(rq_queue_key("rings"))
    client.zadd(rq_registry_key("scheduled", "rings"), {"a": 1, "b": 1})


def jobs_of_another_application(client):
    queue_jobs(client, "a", "b", **FOREIGN)
    client.delete(rq_queue_key("rings"))
    for job_id in "ab":
        client.xadd(rq_results_key(job_id), {"worker_name": "another", "execution_id": "1"})
    client.zadd(rq_registry_key("failed", "rings"), {job_id: int(client.time()[0]) + 86_400 for job_id in "ab"})


def late_jobs(client):
    queue_jobs(client, "a", "b", "c", **LATE)
    queue_jobs(client, "d")
    client.set(lease_key("w-1"), 1)
    client.lmove(rq_queue_key("rings"), inflight_key("rings", "w-1"), "LEFT", "RIGHT")


SCRIPTS = {
    "take": (late_jobs, queue_scripts.take_jobs("rings", "w-1", 3)),
    "reap": (jobs_of_a_dead_worker, queue_scripts.reap_workers(["rings"], lease_ms=0, silence_ms=60_000, limit=10)),
    "remove": (jobs_of_a_dead_worker, queue_scripts.remove_worker("dead", ["rings"], died=True, limit=10)),
    "scheduled": (scheduled_jobs, queue_scripts.enqueue_scheduled(["rings"], limit=10)),
    "take back": (
        jobs_of_another_application,
        queue_scripts.take_back_jobs(
            "rings", within_s=60, not_failed_s=1, kept_s=86_400, counted_s=9, job_names=["jobs.ring"]
        ),
    ),
}
"""What was there before, and the script that fails."""


def all_run(client):
    """Run all jobs that are queued, scheduled, or on the list of the worker w-1; returns how often each ran."""
    ran = []
    client.set(lease_key("w-1"), 1)
    for _ in range(20):
        for job_id in client.zrange(rq_registry_key("scheduled", "rings"), 0, -1):
            client.zadd(rq_registry_key("scheduled", "rings"), {job_id: 1})
        run_script(client, queue_scripts.enqueue_scheduled(["rings"], limit=10))
        on_list = client.lrange(inflight_key("rings", "w-1"), 0, -1)
        if not on_list and not client.lmove(rq_queue_key("rings"), inflight_key("rings", "w-1"), "LEFT", "RIGHT"):
            break
        for job_id in client.lrange(inflight_key("rings", "w-1"), 0, -1):
            if job := run_script(client, queue_scripts.begin_job("rings", "w-1", job_id, alone=True)):
                finish = queue_scripts.finish_job(
                    "rings", "w-1", job_id, job[1], keep_s=60, now=NOW_S * 1_000_000, shown=False
                )
                ran += [job_id.decode()] * run_script(client, finish)
    return sorted(ran)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_fails_halfway_loses_no_job(redis_client, name):
    prepare, command = SCRIPTS[name]
    for failing_call in itertools.count(1):
        redis_client.flushall()
        prepare(redis_client)
        jobs = sorted(key.decode().rpartition(":")[2] for key in redis_client.keys("rq:job:*"))
        if not fails(redis_client, command, failing_call):
            break
        for _ in range(2):
            run_script(redis_client, command)
        assert all_run(redis_client) == jobs, failing_call
    assert failing_call > 4
