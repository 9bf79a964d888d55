"""Failed jobs, and other applications' workers, in several partitions."""

from bellhop.queue.failed_jobs import failed_job_ids, latest_failed_jobs, run_again
from bellhop.queue.foreign import read_foreign_work
from bellhop.queue.names import MAIL, MAIL_JOB, RINGS
from bellhop.store.keys import (
    FOREIGN_WORKERS,
    WORKERS,
    rq_job_key,
    rq_queue_key,
    rq_registry_key,
    rq_worker_key,
    rq_workers_key,
)
from tests.in_partitions import in_partitions


def test_failed_jobs_of_all_partitions_are_run_again(redis_client, monkeypatch):
    among = in_partitions(monkeypatch, 3)
    for number, partition in enumerate(among):
        job_id = f"mail-{number}"
        fields = {"data": f'["{MAIL_JOB}",null,[{{}}],{{}}]', "status": "failed", "ended_at": f"2026-01-0{number + 1}"}
        redis_client.hset(partition.key(rq_job_key(job_id)), mapping=fields)
        redis_client.zadd(partition.key(rq_registry_key("failed", MAIL)), {job_id: 1})
    redis_client.set(among[0].key(rq_job_key("mail-other")), "a value that is not a job")
    redis_client.zadd(among[0].key(rq_registry_key("failed", MAIL)), {"mail-other": 1})
    assert [*failed_job_ids(redis_client)] == ["mail-0", "mail-other", "mail-1", "mail-2"]
    assert [(job.id, job.name) for job in latest_failed_jobs(redis_client, 2)] == [
        ("mail-2", MAIL_JOB),
        ("mail-1", MAIL_JOB),
    ]
    assert run_again(redis_client, "mail-1") is None
    assert redis_client.lrange(among[1].key(rq_queue_key(MAIL)), 0, -1) == [b"mail-1"]
    assert [*failed_job_ids(redis_client)] == ["mail-0", "mail-other", "mail-2"]
    assert (run_again(redis_client, "mail-3") or "").startswith("there is no such job")


def test_other_applications_are_seen_in_all_partitions(redis_client, monkeypatch):
    for partition in in_partitions(monkeypatch, 2):
        registered = [partition.key(rq_worker_key(name)) for name in ("ours", "stock", "expired")]
        redis_client.sadd(partition.key(rq_workers_key(RINGS)), *registered)
        for key in registered[:2]:
            redis_client.hset(key, "queues", RINGS)
        redis_client.sadd(partition.key(WORKERS), "ours")
        redis_client.hset(partition.key(FOREIGN_WORKERS), f"{RINGS}:stock", 6)
    work = read_foreign_work(redis_client)
    assert (work.workers, work.taken) == ([(RINGS, "stock")], {(RINGS, "stock"): 12})
