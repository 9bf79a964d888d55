"""What Bellhop writes in RQ's place and takes from RQ.

When one of these fails, RQ has moved something: read its change log and follow in the file that is named.
"""

from rq import Queue, Worker
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from bellhop.store import scripts
from bellhop.store.scripts import FOLDER
from worker.queue.queue_worker import QueueWorker as BellhopWorker

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
STEPS = (
    "queue/renew_lease",
    "queue/reap_workers",
    "queue/remove_worker",
    "queue/take_jobs",
    "queue/begin_job",
    "queue/finish_job",
    "queue/fail_job",
    "queue/hand_back_job",
    "queue/requeue_failed",
    "calls/enqueue_due",
)


def test_rq_keeps_its_data_where_the_scripts_write_it() -> None:
    lua = "".join(scripts.source(step) for step in STEPS)
    for ours, rqs in KEYS.items():
        assert f"'{ours}" in lua, f"no script writes {ours} any more: drop it here"
        assert ours == rqs, f"RQ keeps at {rqs!r} what bellhop/store/lua/*.lua keep at {ours!r}"


def test_rq_calls_states_what_the_scripts_call_them() -> None:
    known = {status.value for status in JobStatus}
    for word in ("queued", "started", "finished", "failed", "stopped", "scheduled"):
        assert word in known, f"RQ no longer knows the status {word!r} that bellhop/store/lua/*.lua write"
    assert Result.Type.FAILED.value == 2, "RQ numbers its results anew: see bellhop/store/lua/queue/fail_job.lua"


def test_rqs_worker_has_the_parts_that_ours_is_made_of() -> None:
    for part in ("serialize", "pubsub_channel_name", "handle_payload", "connection_timeout", "work"):
        assert hasattr(BaseWorker, part), f"RQ's BaseWorker has lost {part}: see worker/queue/queue_worker.py"
    worker = BellhopWorker("redis://127.0.0.1:1/0", {"rings": 1}, {}, name="host:1|a")
    assert worker.connection.connection_pool.connection_kwargs["socket_timeout"] < 60, "RQ stretches our timeout again"
    assert worker.pubsub_channel_name == PUBSUB_CHANNEL_TEMPLATE % worker.name
    assert ":" not in worker.name, "RQ and our keys split names at colons"
    assert "|" not in worker.name


def test_every_script_that_writes_rqs_keys_is_watched_here() -> None:
    paths = [path for path in FOLDER.rglob("*.lua") if "'rq:" in path.read_text()]
    writers = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in paths}
    assert writers - {"lib/execution", "lib/enqueue"} <= set(STEPS)
