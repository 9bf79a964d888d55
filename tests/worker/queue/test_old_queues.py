"""Queues that older versions give other names: our jobs leave them, and jobs of other applications stay."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from bellhop.store import queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import Registry, inflight_key, rq_job_key, rq_queue_key, rq_registry_key
from bellhop.store.queue_scripts import JobState
from bellhop.store.scripts import Command
from tests.worker.queue.conftest import QueueClient, StartWorker, eventually, script_cpu_s

OLD, NEW = "rings", "bellhop-rings"
OURS = ["jobs.sleep", "jobs.fail"]

Move = Callable[..., Any]


def move_command(state: JobState = "waiting", start: int = 0, limit: int = 100) -> Command:
    return queue_scripts.move_jobs(OLD, NEW, state, start, limit=limit, job_names=OURS)


@pytest.fixture
def move(redis_client: Redis) -> Move:
    return lambda *args, **options: run_script(redis_client, move_command(*args, **options))


def ours(queue_client: QueueClient, *labels: str, seconds: float = 0) -> None:
    for label in labels:
        queue_client.sleep_plain(label, seconds, OLD)


def theirs(queue_client: QueueClient, *labels: str) -> None:
    """Queue jobs of another application, which pickles them."""
    for label in labels:
        Queue(OLD, connection=queue_client.redis).enqueue("reports.make", label, job_id=label)


def waiting(queue_client: QueueClient, queue: str) -> list[str]:
    return [job_id.decode() for job_id in queue_client.redis.lrange(rq_queue_key(queue), 0, -1)]


def test_only_our_jobs_are_moved_and_all_keep_their_order(queue_client: QueueClient, move: Move) -> None:
    theirs(queue_client, "a", "b")
    ours(queue_client, "first")
    theirs(queue_client, "c")
    ours(queue_client, "second")
    Queue(OLD, connection=queue_client.redis, serializer=JSONSerializer).enqueue("jobs.other", {}, job_id="d")
    assert move() == [0, 2]
    assert waiting(queue_client, OLD) == ["a", "b", "c", "d"]
    assert waiting(queue_client, NEW) == ["first", "second"]
    assert queue_client.redis.hget(rq_job_key("first"), "origin") == NEW.encode()
    assert move() == [0, 0]


def test_a_job_that_rqs_tools_wrote_again_is_known_as_ours(queue_client: QueueClient, move: Move) -> None:
    ours(queue_client, "again")
    assert queue_client.redis.hget(rq_job_key("again"), "data").startswith(b"[")
    Job.fetch("again", connection=queue_client.redis, serializer=JSONSerializer).save()
    assert not queue_client.redis.hget(rq_job_key("again"), "data").startswith(b"[")
    assert move() == [0, 1]


@pytest.mark.parametrize("state", ["scheduled", "failed", "finished"])
def test_registries_are_moved_too(queue_client: QueueClient, move: Move, state: Registry) -> None:
    theirs(queue_client, "a")
    ours(queue_client, "ours")
    queue_client.redis.zadd(rq_registry_key(state, OLD), {"a": 1, "ours": 2.5, "gone": 3})  # type: ignore[arg-type]
    assert move(state) == [0, 1]
    old, new = (
        queue_client.redis.zrange(rq_registry_key(state, queue), 0, -1, withscores=True) for queue in (OLD, NEW)
    )  # type: ignore[arg-type]
    assert (old, new) == ([(b"a", 1.0), (b"gone", 3.0)], [(b"ours", 2.5)])


def test_among_many_jobs_of_others_ours_at_the_end_are_first(queue_client: QueueClient, move: Move) -> None:
    theirs(queue_client, *map(str, range(10)))
    ours(queue_client, "in-the-middle")
    theirs(queue_client, *map(str, range(10, 20)))
    ours(queue_client, "at-the-end")
    assert move(limit=4) == [4, 1]
    assert waiting(queue_client, NEW) == ["at-the-end"]
    start = 4
    while start:
        start, _ = move(start=start, limit=4)
    assert waiting(queue_client, NEW) == ["at-the-end", "in-the-middle"]
    assert waiting(queue_client, OLD) == list(map(str, range(20)))


def test_a_script_is_short_also_in_a_long_queue(queue_client: QueueClient, move: Move) -> None:
    client = queue_client.redis
    ours(queue_client, "ours")
    data = client.hget(rq_job_key("ours"), "data")
    with client.pipeline(transaction=False) as pipeline:
        for number in range(50_000):
            pipeline.rpush(rq_queue_key(OLD), f"foreign-{number}")
        for number in range(299):
            pipeline.hset(rq_job_key(f"ours-{number}"), "data", data)
            pipeline.rpush(rq_queue_key(OLD), f"ours-{number}")
        pipeline.execute()
    assert move() == [99, 1]
    steps = [script_cpu_s(client, move_command()) for _ in range(3)]
    assert [moved for (_, moved), _ in steps] == [100, 100, 99]
    assert min(cpu_s for _, cpu_s in steps) < 0.01


def test_a_job_in_the_old_queue_begins_soon(queue_client: QueueClient, start_worker: StartWorker) -> None:
    theirs(queue_client, "a")
    worker = start_worker(queue_client.url, {NEW: 10}, old_names={OLD: NEW})
    eventually(lambda: worker.logged("worker_started"), "the worker is ready")
    took_s = []
    for number in range(5):
        queued_at = time.monotonic()
        ours(queue_client, f"job-{number}")
        eventually(lambda number=number: f"job-{number}" in queue_client.marks("began"), "it begins")
        took_s.append(time.monotonic() - queued_at)
    assert min(took_s) < 2, "it does not wait for a look that is rare"
    assert waiting(queue_client, OLD) == ["a"]
    assert [line["queue"] for line in worker.logged("old_queue_used")] == [OLD]


def test_the_jobs_of_a_dead_old_worker_are_run(queue_client: QueueClient, start_worker: StartWorker) -> None:
    """And a job of another application that it had taken goes back to where it was."""
    old = start_worker(queue_client.url, {OLD: 10})
    ours(queue_client, "held", seconds=60)
    eventually(lambda: queue_client.marks("began") == ["held"], "the old worker runs it")
    old.process.send_signal(signal.SIGSTOP)
    theirs(queue_client, "a")  # Redis may move it by itself, if the worker waits for a job
    queue_client.redis.lmove(rq_queue_key(OLD), inflight_key(OLD, old.name), "LEFT", "RIGHT")
    old.process.kill()
    old.wait()
    start_worker(queue_client.url, {NEW: 10}, old_names={OLD: NEW})
    eventually(lambda: queue_client.marks("began") == ["held", "held"], "the new worker runs it")
    eventually(lambda: waiting(queue_client, OLD) == ["a"], "the other's job is where it was")


def test_a_worker_is_registered_for_the_old_names_too(queue_client: QueueClient, start_worker: StartWorker) -> None:
    """Otherwise web processes of the older version are not ready while only new workers run."""
    worker = start_worker(queue_client.url, {NEW: 10}, old_names={OLD: NEW, "mail": "bellhop-mail"})
    registered = {f"rq:worker:{worker.name}".encode()}
    eventually(lambda: queue_client.redis.smembers("rq:workers:rings") == registered, "it is registered")
    assert queue_client.redis.smembers("rq:workers:mail") == set()
    worker.process.terminate()
    worker.wait()
    assert queue_client.redis.smembers("rq:workers:rings") == set()
