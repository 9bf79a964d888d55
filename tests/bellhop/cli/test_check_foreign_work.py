"""What `bellhop check` says about other applications' workers and jobs in our queues."""

import pytest
from rq import Queue
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from bellhop.cli.check import foreign_work
from bellhop.cli.check.finding import Level
from bellhop.queue.names import MAIL, NOTICE_JOB, RINGS
from bellhop.settings import Settings
from bellhop.store.keys import FOREIGN_WORKERS, WORKERS, rq_worker_key, rq_workers_key


@pytest.fixture
def findings(redis_url):
    async def findings():
        return [finding async for finding in foreign_work.findings(Settings(redis_url=redis_url))]

    return findings


def fail(redis_client, queue, name, job_id, serializer=JSONSerializer):
    job = Queue(queue, connection=redis_client, serializer=serializer).create_job(name, ({},), job_id=job_id)
    job.save()
    FailedJobRegistry(queue, connection=redis_client).add(job, ttl=3600)


async def test_without_strangers_nothing_is_said(findings, redis_client):
    redis_client.sadd(WORKERS, "w-1")
    redis_client.sadd(rq_workers_key(RINGS), rq_worker_key("w-1"), rq_worker_key("expired"))
    redis_client.hset(rq_worker_key("w-1"), "queues", RINGS)
    fail(redis_client, MAIL, NOTICE_JOB, "ours")
    fail(redis_client, "mail", "reports.make", "theirs")
    assert await findings() == []


async def test_a_worker_of_another_application_is_named(findings, redis_client):
    redis_client.sadd(rq_workers_key(RINGS), rq_worker_key("stock"))
    redis_client.hset(rq_worker_key("stock"), "queues", RINGS)
    (finding,) = await findings()
    assert (finding.level, finding.subject) == (Level.PROBLEM, f"queue {RINGS}")
    assert finding.sentence.startswith("stock is not a worker of Bellhop and cannot run its jobs: stop it")


async def test_what_such_a_worker_took_lately_is_told(findings, redis_client):
    redis_client.hset(FOREIGN_WORKERS, f"{RINGS}:stock", 12)
    (finding,) = await findings()
    assert (finding.level, finding.subject) == (Level.WARNING, f"queue {RINGS}")
    assert "took 12 of its jobs in the last hour; they were queued again" in finding.sentence


async def test_jobs_of_another_application_are_counted(findings, redis_client):
    fail(redis_client, MAIL, "reports.make", "json")
    fail(redis_client, MAIL, "reports.make", "pickled", serializer=None)
    (finding,) = await findings()
    assert (finding.level, finding.subject) == (Level.WARNING, f"queue {MAIL}")
    assert finding.sentence.startswith("2 failed jobs in it are not Bellhop's")
