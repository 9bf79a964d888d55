"""Another application uses RQ on the same Redis, with a stock worker and scheduler: nobody touches the other's work."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import redis
from rq import Queue
from rq.registry import FailedJobRegistry, ScheduledJobRegistry

from bellhop.cli.check import foreign_work
from bellhop.domain.device import Kind, Provider
from bellhop.queue.names import RINGS
from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.settings import Settings

JOBS = 120
THEIR_CODE = """
import redis
def make(url, label):
    redis.Redis.from_url(url).rpush("reports:made", label)
"""
SAME_NAMES = ("rings", "notices", "mail")
"""Queues of theirs that older versions of Bellhop used too."""


async def until(look, what, within_s=60):
    give_up = time.monotonic() + within_s
    while not (seen := await asyncio.to_thread(look)):
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.05)
    return seen


@contextmanager
def stock_worker(folder, url, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "rq.cli", "worker", "--url", url, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def theirs(client):
    """Everything that their queues of our old names hold: jobs, scheduled and failed jobs, in order."""
    ids = {
        key: client.lrange(key, 0, -1) if "queue" in key else client.zrange(key, 0, -1, withscores=True)
        for queue in SAME_NAMES
        for key in (f"rq:queue:{queue}", f"rq:scheduled:{queue}", f"rq:failed:{queue}")
    }
    return ids, {key: client.hgetall(key) for key in client.scan_iter("rq:job:report-*")}


@pytest.mark.timeout(300)
async def test_an_application_beside_us_is_not_touched(tmp_path):
    (tmp_path / "their_reports.py").write_text(THEIR_CODE)
    async with Installation(tmp_path, workers=2) as installation:
        url = installation.redis.url
        with redis.Redis.from_url(url) as client, stock_worker(tmp_path, url, "--with-scheduler", "reports"):
            for queue in SAME_NAMES:
                for number in range(20):
                    Queue(queue, connection=client).enqueue("their_reports.make", job_id=f"report-{queue}-{number}")
                late = Queue(queue, connection=client).enqueue_at(
                    datetime(2026, 1, 1, tzinfo=UTC), "their_reports.make", job_id=f"report-late-{queue}"
                )
                failed = Queue(queue, connection=client).create_job("their_reports.make", job_id=f"report-bad-{queue}")
                failed.save()
                FailedJobRegistry(queue, connection=client).add(failed, ttl=3600)
                assert late.id in ScheduledJobRegistry(queue, connection=client).get_job_ids()
            before = theirs(client)

            labels = [f"{number:03}" for number in range(JOBS)]
            due = datetime.now(UTC) + timedelta(seconds=2)
            for label in labels:
                Queue("reports", connection=client).enqueue_at(
                    due, "their_reports.make", url, label, job_id=f"made-{label}"
                )
            await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
            for _ in range(10):
                assert (await installation.stream.post(SampleCall().ring("ben-osei"))).status == 200
            await until(lambda: client.llen("reports:made") >= JOBS, "their jobs run", within_s=150)
            await until(lambda: len(installation.arrivals) == 10, "our phone rings")
            await asyncio.sleep(1)
            assert [label.decode() for label in client.lrange("reports:made", 0, -1)] == labels
            assert theirs(client) == before


async def test_beside_a_stock_worker_every_ring_arrives_once(tmp_path):
    async with Installation(tmp_path) as installation:
        with redis.Redis.from_url(installation.redis.url) as client:
            with stock_worker(tmp_path, installation.redis.url, RINGS):
                await until(lambda: client.scard(f"rq:workers:{RINGS}") == 2, "the stock worker serves our queue")
                await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
                calls = [SampleCall(ring_ms=60_000) for _ in range(12)]
                for call in calls:
                    assert (await installation.stream.post(call.ring("ben-osei"))).status == 200
                await until(lambda: len(installation.arrivals) >= len(calls), "every ring arrives")
                found = [finding async for finding in foreign_work.findings(Settings(redis_url=installation.redis.url))]
                assert any("is not a worker of Bellhop" in finding.sentence for finding in found)
            await asyncio.sleep(2)
            assert sorted(arrival.cid for arrival in installation.arrivals) == sorted(call.cid for call in calls)
