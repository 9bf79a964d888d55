"""Worker processes, real queues, and a Redis that a test can stop."""

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import rq_queue_key
from bellhop.store.scripts import Command
from worker.queue.lease_times import LeaseTimes

RUNNER = Path(__file__).parent / "runner.py"
SOON_S = 60
"""Far longer than any step here takes, also on a busy machine, and shorter than RQ alone would take."""

PATIENT = LeaseTimes(lease_ms=600_000, silence_ms=600_000, turn_ms=600_000)
"""No pause of this machine ends a lease or a turn, or counts as a silence."""

StartWorker = Callable[..., "WorkerProcess"]


def eventually(look: Callable[[], Any], what: str, within_s: float = SOON_S) -> Any:
    """Call `look` until it returns something, also during an outage of Redis."""
    give_up = time.monotonic() + within_s
    while True:
        try:
            seen = look()
        except redis.exceptions.RedisError:
            seen = None
        if seen:
            return seen
        assert time.monotonic() < give_up, f"within {within_s} s: {what}"
        time.sleep(0.02)


class QueueClient:
    """Queues test jobs and reads their results."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url, socket_timeout=5)
        self.queue = self.queue_named("rings")

    def queue_named(self, name: str) -> Queue:
        return Queue(name, connection=self.redis, serializer=JSONSerializer)

    def sleep(self, label: str, seconds: float = 0, queue: str = "rings", **options: Any) -> Job:
        return self.queue_named(queue).enqueue(
            "jobs.sleep", {"label": label, "seconds": seconds}, job_id=label, **options
        )

    def hold(self, label: str, queue: str = "rings", **options: Any) -> Job:
        """Queue a job that runs until `let_go`."""
        return self.queue_named(queue).enqueue("jobs.hold", {"label": label}, job_id=label, **options)

    def let_go(self) -> None:
        self.redis.set("test:let_go", 1)

    def sleep_plain(self, label: str, seconds: float = 0, queue: str = "rings", **fields: Any) -> None:
        """Queue a job as the web process does: its data is not deflated, and its description is its name."""
        payload = {"label": label, "seconds": seconds}
        job = self.queue_named(queue).create_job("jobs.sleep", (payload,), job_id=label)
        plain = job.to_dict()
        plain |= {"data": zlib.decompress(plain["data"]), "description": "jobs.sleep", "status": "queued"}
        self.redis.hset(job.key, mapping=plain | {"enqueued_at": utcformat(now()), "failure_ttl": 86400} | fields)
        self.redis.rpush(rq_queue_key(queue), job.id)

    def marks(self, what: str) -> list[str]:
        return [label.decode() for label in self.redis.lrange(f"test:{what}", 0, -1)]

    def inflight(self, worker: str = "*") -> list[str]:
        keys = self.redis.keys(f"bellhop:inflight:*:{worker}")
        return [job_id.decode() for key in keys for job_id in self.redis.lrange(key, 0, -1)]

    def ended_as(self, job: Job, *statuses: str) -> Job:
        eventually(lambda: job.get_status(refresh=True).value in statuses, f"{job.id} becomes {statuses}")
        job.refresh()
        return job


def script_cpu_s(client: redis.Redis, command: Command) -> tuple[Any, float]:
    """Run a script; returns its answer, and the CPU time that Redis used for it."""
    before = client.info("cpu")
    answer = run_script(client, command)
    after = client.info("cpu")
    return answer, sum(after[mode] - before[mode] for mode in ("used_cpu_user", "used_cpu_sys"))


def script_commands(client: redis.Redis, command: Command) -> tuple[Any, int]:
    """Run a script; returns its answer, and how many commands Redis ran for it."""
    client.config_resetstat()
    answer = run_script(client, command)
    return answer, sum(stats["calls"] for stats in client.info("commandstats").values())


class WorkerProcess:
    name: str

    def __init__(self, url: str, queues: dict[str, int], grace_s: float, log: Path, options: dict[str, Any]) -> None:
        self.queue_client = QueueClient(url)
        self.before = self.names()
        self.log = log
        with log.open("ab") as output:
            command = [sys.executable, str(RUNNER), url, json.dumps(queues), str(grace_s), json.dumps(options)]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=end_with_parent)  # noqa: PLW1509

    def wait_until_started(self) -> None:
        self.name = eventually(lambda: self.names() - self.before, "the worker starts").pop()

    def names(self) -> set[str]:
        return {name.decode() for name in self.queue_client.redis.smembers("bellhop:workers")}

    def logged(self, *events: str) -> list[dict[str, Any]]:
        """The log lines of these events so far; what Python itself prints is no log line."""
        written, _, _ = self.log.read_text().rpartition("\n")
        lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] in events]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(timeout=SOON_S)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    started = []

    def start(
        url: str,
        queues: dict[str, int] | None = None,
        grace_s: float = 10,
        **options: Any,
    ) -> WorkerProcess:
        log = tmp_path / "worker.log"
        started.append(WorkerProcess(url, queues or {"rings": 200}, grace_s, log, options))
        started[-1].wait_until_started()
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()
        worker.queue_client.redis.close()
    if (tmp_path / "worker.log").exists():
        print((tmp_path / "worker.log").read_text())  # shown when the test failed


@pytest.fixture
def queue_client(redis_url: str) -> Iterator[QueueClient]:
    queue_client = QueueClient(redis_url)
    yield queue_client
    queue_client.redis.close()


@pytest.fixture
def own_queue_client(own_redis: RedisServer) -> Iterator[QueueClient]:
    queue_client = QueueClient(own_redis.url)
    yield queue_client
    queue_client.redis.close()
