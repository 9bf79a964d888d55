"""What Bellhop writes in RQ's keys, and what it uses of RQ's worker class (worker/queue/rq_adapter.py).

If one of these fails, RQ has changed: read its release notes, then follow in the file that the failure names.
"""

import re

import pytest
from rq import Queue, Worker
from rq.command import PUBSUB_CHANNEL_TEMPLATE, send_shutdown_command, send_stop_job_command
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from bellhop.store import queue_scripts, scripts
from bellhop.store.scripts import FOLDER
from tests.worker.queue.conftest import QueueClient
from worker.queue.rq_adapter import RqCommand, RqWorkerRecord, unique_worker_name

NOBODY = object()
KEYS = {
    "rq:queue:": Queue.redis_queue_namespace_prefix,
    "rq:queues": Queue.redis_queues_keys,
    "rq:job:": Job.redis_job_namespace_prefix,
    "rq:wip:": StartedJobRegistry.key_template.format(""),
    "rq:finished:": FinishedJobRegistry.key_template.format(""),
    "rq:failed:": FailedJobRegistry.key_template.format(""),
    "rq:scheduled:": ScheduledJobRegistry.key_template.format(""),
    "rq:executions:": ExecutionRegistry.key_template.format(""),
    "rq:execution:": Execution("e", "j", NOBODY).key.removesuffix("j:e"),
    "rq:results:": Result.get_key(""),
    "rq:worker:": Worker.redis_worker_namespace_prefix,
    "rq:workers": REDIS_WORKER_KEYS,
    "rq:workers:": WORKERS_BY_QUEUE_KEY % "",
    "rq:suspended": WORKERS_SUSPENDED,
}
COMMANDS = (
    queue_scripts.requeue_failed("q", "1", ""),
    queue_scripts.reap_workers(["q"], lease_ms=1, silence_ms=1, limit=1),
)
"""With the keys of RQ that scripts are given."""
STEPS = (
    "queue/tend",
    "queue/reap_workers",
    "queue/enqueue_scheduled",
    "queue/remove_worker",
    "queue/take_jobs",
    "queue/begin_job",
    "queue/show_runs",
    "queue/finish_job",
    "queue/fail_job",
    "queue/hand_back_job",
    "queue/requeue_failed",
    "queue/move_jobs",
    "queue/take_back_jobs",
    "calls/enqueue_due",
)


def test_rq_keeps_its_data_where_the_scripts_write_it() -> None:
    lua = "".join(scripts.source(step) for step in STEPS)
    handed_in = {key for command in COMMANDS for key in command.keys}
    for ours, rqs in KEYS.items():
        written = f"'{ours}" in lua or any(key.startswith(ours) for key in handed_in)
        assert written, f"no script writes {ours} any more: drop it here"
        assert ours == rqs, f"RQ keeps at {rqs!r} what bellhop/store/lua/*.lua keep at {ours!r}"


def test_rq_calls_states_what_the_scripts_call_them() -> None:
    known = {status.value for status in JobStatus}
    for word in ("queued", "started", "finished", "failed", "stopped", "scheduled"):
        assert word in known, f"RQ no longer knows the status {word!r} that bellhop/store/lua/*.lua write"
    assert Result.Type.FAILED.value == 2, "RQ numbers its results anew: see bellhop/store/lua/queue/fail_job.lua"


def test_rqs_worker_has_the_parts_that_the_adapter_uses() -> None:
    for part in ("serialize", "pubsub_channel_name", "connection_timeout"):
        assert hasattr(BaseWorker, part), f"RQ's BaseWorker has lost {part}: see worker/queue/rq_adapter.py"
    record = RqWorkerRecord("redis://127.0.0.1:1/0", "w-1", ["rings"])  # nothing answers there: it does no I/O
    assert record.connection.connection_pool.connection_kwargs["socket_timeout"] < 60, "RQ raises our timeout again"
    assert record.pubsub_channel_name == PUBSUB_CHANNEL_TEMPLATE % "w-1"


def test_the_worker_hash_has_the_fields_that_rq_reads() -> None:
    """Those that `Worker.refresh` reads, less what only RQ's own loop writes; counts are written by the scripts."""
    record = RqWorkerRecord("redis://127.0.0.1:1/0", "w-1", ["rings", "mail"])
    fields = record.fields(busy=True, suspended=False)
    expected = {"birth", "last_heartbeat", "queues", "pid", "hostname", "ip_address", "version", "python_version"}
    assert set(fields) == expected | {"state"}
    assert fields["queues"] == "rings,mail"
    assert all(isinstance(value, str | int) for value in fields.values()), "Redis stores no other types"


@pytest.mark.parametrize(
    ("busy", "suspended", "state"),
    [(True, False, "busy"), (False, False, "idle"), (True, True, "suspended"), (False, True, "suspended")],
)
def test_the_state_of_a_worker_is_in_rqs_words(busy: bool, suspended: bool, state: str) -> None:
    record = RqWorkerRecord("redis://127.0.0.1:1/0", "w-1", ["rings"])
    assert record.fields(busy=busy, suspended=suspended)["state"] == state


def test_commands_are_read_as_rq_sends_them(queue_client: QueueClient) -> None:
    with queue_client.redis.pubsub() as channel:
        channel.subscribe(PUBSUB_CHANNEL_TEMPLATE % "w-1")
        job = queue_client.sleep("a")
        queue_client.redis.hset(job.key, mapping={"status": "started", "worker_name": "w-1"})
        send_stop_job_command(queue_client.redis, job.id)
        send_shutdown_command(queue_client.redis, "w-1")
        messages = [message for _ in range(3) if (message := channel.get_message(timeout=5))]
    commands = [RqCommand.read(message["data"]) for message in messages if message["type"] == "message"]
    assert commands == [RqCommand("stop-job", b"a"), RqCommand("shutdown", b"")]


def test_a_workers_name_does_not_break_the_keys_it_is_in() -> None:
    name = unique_worker_name("host:1|a")
    assert ":" not in name, "RQ and our keys split names at colons"
    assert "|" not in name, "claims split names at bars"
    assert name != unique_worker_name("host:1|a")


def test_every_script_that_writes_rqs_keys_is_watched_here() -> None:
    writes = re.compile("'rq:|lib/(queue|worker)_keys|^-- include: lib/execution", re.MULTILINE)
    paths = [path for path in FOLDER.rglob("*.lua") if writes.search(path.read_text())]
    writers = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in paths}
    assert writers - {
        "lib/announcing",
        "lib/begin",
        "lib/dead_workers",
        "lib/enqueue",
        "lib/execution",
        "lib/job_names",
        "lib/leaving",
        "lib/worker_keys",
    } <= set(STEPS)
