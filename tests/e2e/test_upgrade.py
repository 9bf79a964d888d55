"""The Procfile as an operator runs it, and a rolling upgrade in the wrong order."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from bellhop.domain.device import Kind, Provider
from bellhop.queue.names import RINGS
from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall

ROOT = Path(__file__).parents[2]
OLD_WORKER = "import bellhop.queue.job_payloads as c; c.VERSION = 0; from bellhop.cli import main; main(['worker'])"
"""A worker from before the payloads' version 1."""


async def eventually(look, what):
    give_up = time.monotonic() + 60
    while not (seen := look()):
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.05)
    return seen


@contextmanager
def running(installation, command, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=installation.environment() | {"PATH": path} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


async def test_the_procfile_rings_and_stops(tmp_path):
    async with Installation(tmp_path) as installation:
        for name in list(installation.processes):
            await asyncio.to_thread(installation.stop, name)
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        with running(installation, [sys.executable, "-m", "honcho", "start"], PORT=str(installation.port)):
            await installation.ready()
            await installation.stream.post(SampleCall().ring("ben-osei"))
            await eventually(lambda: installation.arrivals, "the phone rings")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", installation.port)


async def test_a_job_an_old_worker_cannot_read_waits_for_the_upgrade(tmp_path):
    async with Installation(tmp_path) as installation:
        await asyncio.to_thread(installation.stop, "worker-1")
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        with (
            running(installation, [sys.executable, "-c", OLD_WORKER]),
            redis.Redis.from_url(installation.redis.url) as connection,
        ):
            failed = FailedJobRegistry(RINGS, connection=connection, serializer=JSONSerializer)
            await installation.stream.post(SampleCall(ring_ms=180_000).ring("ben-osei"))
            (job_id,) = await eventually(failed.get_job_ids, "the old worker refuses the job")
            job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
            assert job.latest_result().exc_string.endswith(
                "has payload version 1; this worker knows version 0: upgrade it"
            )
        assert installation.arrivals == []

        installation.start("worker", "worker-1")
        with running(installation, [sys.executable, "-m", "bellhop", "replay", "--failed"]) as replay:
            assert await asyncio.to_thread(replay.wait, 60) == 0
        await eventually(lambda: installation.arrivals, "the upgraded worker rings the phone")
