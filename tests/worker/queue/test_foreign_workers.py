"""A stock RQ worker serves a queue of ours: what it took is queued again. And other applications' jobs in our queue."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from bellhop.sandbox.child_process import end_with_parent
from bellhop.store import queue_scripts
from bellhop.store.keys import FOREIGN_WORKERS
from tests.worker.queue.conftest import QueueClient, StartWorker, eventually, script_commands

JSON = ("--serializer", "rq.serializers.JSONSerializer")
StartRq = Callable[..., "subprocess.Popen[bytes]"]
SLEEP_WHILE_THE_WORKER_LIVES = """
import os, time

def sleep(payload):
    worker = os.getppid()
    while os.getppid() == worker:
        time.sleep(0.1)
    os._exit(1)
"""
"""Its process ends when the test has killed the worker, and records nothing in Redis, which other tests use then."""


@pytest.fixture
def start_rq(queue_client: QueueClient, tmp_path: Path) -> Iterator[StartRq]:
    """Start `rq worker` where none of our code can be imported, unless `path` names it."""
    started = []

    def start(*options: str, path: str = "", queue: str = "rings") -> "subprocess.Popen[bytes]":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((sysconfig.get_path("purelib"), path))}
        command = [sys.executable, "-S", "-m", "rq.cli", "worker", "--url", queue_client.url, *options, queue]
        with (tmp_path / "rq.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def status(queue_client: QueueClient, job_id: str) -> bytes:
    return queue_client.redis.hget(f"rq:job:{job_id}", "status") or b""


@pytest.mark.parametrize("options", [JSON, ()], ids=["package absent", "pickle serializer"])
def test_a_job_that_a_stock_worker_failed_runs_after_all(
    queue_client: QueueClient, start_worker: StartWorker, start_rq: StartRq, options: tuple[str, ...]
) -> None:
    queue_client.sleep_plain("ring", deadline=int((time.time() + 60) * 1e6))
    stock = start_rq(*options)
    eventually(lambda: status(queue_client, "ring") == b"failed", "the stock worker fails it")
    stock.kill()
    stock.wait()
    name = queue_client.redis.hget("rq:job:ring", "worker_name").decode()
    worker = start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended") == ["ring"], "our worker runs it")
    eventually(lambda: status(queue_client, "ring") == b"finished", "it is finished")
    assert queue_client.queue.failed_job_registry.get_job_ids() == []
    (line,) = eventually(lambda: worker.logged("foreign_worker"), "it reports the stock worker")
    assert (line["queue"], line["worker"], line["jobs"]) == ("rings", name, 1)
    assert "not Bellhop's" in line["reason"]
    assert queue_client.redis.hgetall(FOREIGN_WORKERS) == {f"rings:{name}".encode(): b"1"}
    assert 0 < queue_client.redis.ttl(FOREIGN_WORKERS) <= 3600


def test_a_job_that_a_stock_worker_started_runs_after_all(
    queue_client: QueueClient, start_worker: StartWorker, start_rq: StartRq, tmp_path: Path
) -> None:
    """The worker reads our JSON, imports a module of the same name, and stops in it."""
    (tmp_path / "jobs.py").write_text(SLEEP_WHILE_THE_WORKER_LIVES)
    stock = start_rq(*JSON, path=str(tmp_path))
    queue_client.sleep_plain("ring", deadline=int((time.time() + 60) * 1e6))
    eventually(lambda: status(queue_client, "ring") == b"started", "the stock worker starts it")
    stock.send_signal(signal.SIGSTOP)
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended") == ["ring"], "our worker runs it")
    eventually(lambda: queue_client.queue.started_job_registry.count == 0, "nothing of the other run is left")
    assert queue_client.redis.keys("rq:execution*") == []


def test_a_job_between_queue_and_start_of_a_stock_worker_runs(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    queue_client.sleep_plain("ring", enqueued_at="2026-01-01T00:00:00.000000Z", deadline=int((time.time() + 60) * 1e6))
    queue_client.redis.lmove("rq:queue:rings", "rq:queue:rings:intermediate", "LEFT", "RIGHT")
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended") == ["ring"], "our worker runs it")
    assert not queue_client.redis.exists("rq:queue:rings:intermediate")


@pytest.mark.parametrize(
    "fields", [{"deadline": 1}, {"enqueued_at": "2026-01-01T00:00:00.000000Z"}], ids=["deadline", "queued long ago"]
)
def test_a_job_without_time_stays_failed(
    queue_client: QueueClient, start_worker: StartWorker, start_rq: StartRq, fields: dict[str, int | str]
) -> None:
    queue_client.sleep_plain("late", **fields)
    stock = start_rq(*JSON)
    eventually(lambda: status(queue_client, "late") == b"failed", "the stock worker fails it")
    stock.kill()
    stock.wait()
    queue_client.sleep_plain("other")
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended") == ["other"], "our worker runs")
    time.sleep(1.5)  # several looks
    assert (status(queue_client, "late"), queue_client.marks("ended")) == (b"failed", ["other"])


def test_a_job_that_failed_here_is_not_queued_again(queue_client: QueueClient, start_worker: StartWorker) -> None:
    job = queue_client.queue.enqueue("jobs.refuse", {"label": "no"}, description="jobs.refuse", failure_ttl=86400)
    worker = start_worker(queue_client.url)
    queue_client.ended_as(job, "failed")
    time.sleep(1.5)  # several looks
    assert queue_client.marks("began") == ["no"]
    assert worker.logged("foreign_worker") == []


def test_a_foreign_job_is_kept_and_reported_once(queue_client: QueueClient, start_worker: StartWorker) -> None:
    pickled = [Queue("rings", connection=queue_client.redis).enqueue("reports.make", number) for number in range(3)]
    named = queue_client.queue.enqueue("reports.make", {})
    worker = start_worker(queue_client.url)
    eventually(lambda: queue_client.queue.failed_job_registry.count == 4, "none is run")
    jobs = [Job.fetch(job.id, connection=queue_client.redis, serializer=job.serializer) for job in (*pickled, named)]
    assert {job.get_status() for job in jobs} == {JobStatus.FAILED}
    assert [tuple(job.args) for job in jobs] == [(0,), (1,), (2,), ({},)]
    assert "there is no job of the name 'reports.make'" in jobs[3].latest_result().exc_string
    assert min(queue_client.redis.ttl(job.key) for job in jobs) > 300 * 86400
    eventually(lambda: len(worker.logged("job_failed")) == 4, "it reports each of them")
    lines = worker.logged("foreign_job")
    assert len(lines) == 2
    assert {line["queue"] for line in lines} == {"rings"}
    assert jobs[3].serializer is JSONSerializer


def test_many_jobs_are_taken_back_in_short_steps(queue_client: QueueClient) -> None:
    client, deadline = queue_client.redis, int((time.time() + 3600) * 1e6)
    for number in range(600):
        queue_client.sleep_plain(f"job-{number}", deadline=deadline)
        client.hset(f"rq:job:job-{number}", "status", "failed")
        client.xadd(f"rq:results:job-{number}", {"worker_name": "stock", "execution_id": "one"})
    failed_at = int(time.time())
    client.zadd("rq:failed:rings", {f"job-{number}": failed_at + 86400 for number in range(600)})
    client.delete("rq:queue:rings")
    command = queue_scripts.take_back_jobs(
        "rings", within_s=60, not_failed_s=5, kept_s=86400, counted_s=60, job_names=["jobs.sleep"]
    )
    steps = [script_commands(client, command) for _ in range(4)]
    assert [answer for answer, _ in steps] == [[b"stock", 200]] * 3 + [[]]
    assert client.llen("rq:queue:rings") == 600
    assert max(commands for _, commands in steps) < 200 * 13
