"""How jobs run and end, seen through RQ's own classes."""

import time
from itertools import accumulate

import pytest
from rq import Queue, Retry, Worker
from rq.command import PUBSUB_CHANNEL_TEMPLATE, send_shutdown_command, send_stop_job_command
from rq.registry import StartedJobRegistry, clean_registries
from rq.suspension import resume, suspend

from tests.worker.queue.conftest import QueueClient, StartWorker, WorkerProcess, eventually


def test_a_finished_job_is_finished_for_rq(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.ended_as(queue_client.sleep("a"), "finished")
    assert queue_client.marks("ended") == ["a"]
    assert job.started_at <= job.ended_at
    assert queue_client.queue.finished_job_registry.get_job_ids() == ["a"]
    assert queue_client.queue.started_job_registry.get_job_ids() == []
    assert queue_client.queue.job_ids == []
    assert 0 < queue_client.redis.ttl(job.key) <= 60
    assert queue_client.redis.keys("rq:execution*") == []


def test_rq_info_sees_the_worker_and_what_it_runs(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url, {"rings": 5, "mail": 1})
    job = queue_client.hold("a")
    eventually(lambda: queue_client.marks("began"), "the job begins")
    eventually(job.get_executions, "its run is shown, since it takes long")
    assert queue_client.queue.started_job_registry.get_job_and_execution_ids() == [("a", worker.name)]
    assert [execution.worker_name for execution in job.get_executions()] == [worker.name]
    assert job.get_status() == "started"
    eventually(lambda: Worker.all(queue_client.redis)[0].get_state() == "busy", "the worker is busy")
    (seen,) = Worker.all(queue=queue_client.queue_named("mail"))
    assert (seen.name, seen.pid) == (worker.name, worker.process.pid)
    assert seen.last_heartbeat is not None
    queue_client.let_go()
    queue_client.ended_as(job, "finished")
    assert queue_client.redis.keys("rq:execution*") == []
    eventually(lambda: Worker.all(queue_client.redis)[0].successful_job_count == 1, "the worker's count")


def test_a_hundred_jobs_run_at_the_same_time(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    for number in range(100):
        queue_client.sleep(f"job-{number}", seconds=60)
    eventually(lambda: len(set(queue_client.marks("began"))) == 100, "all begin")
    assert queue_client.marks("ended") == []


def test_no_more_jobs_run_at_once_than_the_queue_may(queue_client: QueueClient, start_worker: StartWorker) -> None:
    for number in range(6):
        queue_client.sleep(f"job-{number}", seconds=0.5)
    start_worker(queue_client.url, {"rings": 2})
    eventually(lambda: len(queue_client.marks("ended")) == 6, "all end")
    change = {"began": 1, "ended": -1}
    running = accumulate(change.get(mark.split()[0], 0) for mark in queue_client.marks("order"))
    assert max(running) == 2


def test_a_backlog_begins_in_the_order_in_which_it_was_queued(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    labels = [f"job-{number:02}" for number in range(30)]
    for label in labels:
        queue_client.sleep(label, seconds=0.1)
    # A take moves several jobs while there is room, then one for each place that becomes free.
    start_worker(queue_client.url, {"rings": 10})
    eventually(lambda: len(queue_client.marks("ended")) == 30, "all end")
    assert queue_client.marks("began") == labels


def test_a_flood_of_mail_does_not_hold_up_a_ring(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url, {"rings": 10, "mail": 2})
    for number in range(200):
        queue_client.sleep(f"mail-{number}", seconds=1, queue="mail")
    eventually(lambda: queue_client.marks("began"), "the mail begins")
    queue_client.ended_as(queue_client.sleep("ring"), "finished")
    assert len(queue_client.marks("ended")) < 100  # the flood takes 100 s


def test_a_failing_job_is_retried_as_often_as_it_may_be(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url)
    job = queue_client.queue.enqueue("jobs.fail", {"label": "a"}, retry=Retry(max=2))
    queue_client.ended_as(job, "failed")
    assert queue_client.marks("began") == ["a", "a", "a"]
    assert queue_client.queue.failed_job_registry.get_job_ids() == [job.id]
    reason = job.latest_result().exc_string
    assert reason.startswith("RuntimeError at ")
    assert "secret-token" not in reason + worker.log.read_text()


def test_a_retry_with_an_interval_waits(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    queued_s = time.time()
    job = queue_client.queue.enqueue("jobs.fail", {"label": "a"}, retry=Retry(max=1, interval=600))
    queue_client.ended_as(job, "scheduled")
    assert queue_client.marks("began") == ["a"]
    assert queue_client.redis.zscore("rq:scheduled:rings", job.id) >= queued_s + 599
    queue_client.redis.zadd("rq:scheduled:rings", {job.id: queued_s})  # ten minutes later
    queue_client.ended_as(job, "failed")
    assert queue_client.marks("began") == ["a", "a"]
    assert queue_client.redis.zcard("rq:scheduled:rings") == 0


def test_a_permanent_error_is_not_retried(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.queue.enqueue("jobs.refuse", {"label": "a"}, retry=Retry(max=5))
    queue_client.ended_as(job, "failed")
    assert queue_client.marks("began") == ["a"]
    assert job.latest_result().exc_string == "no such customer"


def test_a_retry_logs_a_warning_and_the_final_failure_an_error(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    worker = start_worker(queue_client.url)
    job = queue_client.queue.enqueue("jobs.fail", {"label": "a"}, job_id="a", retry=Retry(max=2, interval=[0, 1]))
    queue_client.ended_as(job, "failed")
    eventually(lambda: worker.logged("job_failed"), "the worker says so")
    reason = job.latest_result().exc_string
    said = [
        {name: line.get(name) for name in ("event", "level", "job", "queue", "reason", "status")}
        for line in worker.logged("job_retried", "job_failed")
    ]
    about = {"job": "a", "queue": "rings", "reason": reason}
    retried = {"event": "job_retried", "level": "warning", **about, "status": None}
    assert said == [retried, retried, {"event": "job_failed", "level": "error", **about, "status": "failed"}]
    assert reason.startswith("RuntimeError at ")


def test_what_is_not_tried_again_is_logged_as_failed_alone(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    worker = start_worker(queue_client.url)
    queue_client.ended_as(
        queue_client.queue.enqueue("jobs.refuse", {"label": "a"}, job_id="a", retry=Retry(max=5)), "failed"
    )
    eventually(lambda: worker.logged("job_failed"), "the worker says so")
    [line] = worker.logged("job_retried", "job_failed")
    assert (line["event"], line["level"], line["job"]) == ("job_failed", "error", "a")
    assert (line["queue"], line["reason"]) == ("rings", "no such customer")


def test_a_failed_job_can_be_requeued_with_rq(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.ended_as(queue_client.queue.enqueue("jobs.refuse", {"label": "a"}), "failed")
    queue_client.queue.failed_job_registry.requeue(job)
    eventually(lambda: queue_client.marks("began") == ["a", "a"], "it runs again")


def test_a_job_over_its_timeout_is_cancelled_and_fails(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.ended_as(queue_client.sleep("a", seconds=60, job_timeout=1), "failed")
    assert job.latest_result().exc_string == "the job took longer than 1 s"
    assert queue_client.marks("ended") == []


POISON = {
    "no JSON": b"\x80\x05pickle",
    "a bomb": b"x\x9c" + b"\x00" * 50,
    "no call": b'{"a": 1}',
    "nested deep": b"[" * 200_000,
    "two arguments": b'["jobs.sleep", null, [{}, {}], {}]',
    "not an object": b'["jobs.sleep", null, ["x"], {}]',
    "an instance": b'["jobs.sleep", "rq", [{}], {}]',
    "no name": b"[null, null, [{}], {}]",
    "an import path": b'["os.system", null, [{"command": "id"}], {}]',
    "nothing": b"",
}


def test_no_poison_stops_the_worker(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    for label, data in POISON.items():
        queue_client.redis.hset(f"rq:job:{label}", mapping={"status": "queued", "data": data, "timeout": "soon"})
        queue_client.redis.rpush(queue_client.queue.key, label)
    queue_client.redis.rpush(queue_client.queue.key, "no hash", b"\xff\xfe")
    queue_client.redis.hset(queue_client.sleep("miscounted").key, "lost_workers", "many")
    queue_client.redis.hset("rq:job:half a hash", "status", "queued")
    queue_client.redis.set("rq:job:no hash but a string", "x")
    queue_client.redis.rpush(queue_client.queue.key, "half a hash", "no hash but a string")
    queue_client.ended_as(queue_client.sleep("healthy"), "finished")
    eventually(lambda: queue_client.inflight() == [], "all are done with")
    failed = set(queue_client.queue.failed_job_registry.get_job_ids())
    assert failed == {*POISON, "half a hash"}
    assert {queue_client.redis.hget(f"rq:job:{label}", "status") for label in failed} == {b"failed"}


def test_a_rejected_payload_is_named_without_its_values(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.ended_as(queue_client.queue.enqueue("jobs.greet", {"name": ["secret-token"]}), "failed")
    assert job.latest_result().exc_string == "name: string_type"


def listening(queue_client: QueueClient, worker: WorkerProcess) -> str:
    """Wait until a worker listens for RQ's commands; returns the channel."""
    channel = PUBSUB_CHANNEL_TEMPLATE % worker.name
    eventually(lambda: queue_client.redis.pubsub_numsub(channel)[0][1], "it listens")
    return channel


def test_stop_job_cancels_it(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url)
    job = queue_client.sleep("a", seconds=60, retry=Retry(max=3))
    eventually(lambda: queue_client.marks("began"), "the job begins")
    channel = listening(queue_client, worker)
    for message in ("", "[]", "{}", b"\xff"):
        queue_client.redis.publish(channel, message)  # no command
    queue_client.redis.client_kill_filter(_type="pubsub")
    listening(queue_client, worker)
    send_stop_job_command(queue_client.redis, job.id)
    queue_client.ended_as(job, "stopped")
    assert queue_client.marks("ended") == []
    assert queue_client.inflight() == []


def test_a_job_that_cancels_itself_fails_like_any_other(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.ended_as(
        queue_client.queue.enqueue("jobs.give_up", {"label": "a"}, retry=Retry(max=1)), "failed"
    )
    assert queue_client.marks("began") == ["a", "a"]
    assert job.latest_result().exc_string == "the job was cancelled from within"


def test_suspended_workers_take_no_jobs_until_resumed(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    suspend(queue_client.redis)
    eventually(lambda: Worker.all(queue_client.redis)[0].get_state() == "suspended", "the worker is suspended")
    eventually(lambda: queue_client.redis.info("clients")["blocked_clients"] == 0, "the take that had begun is over")
    queue_client.sleep("a")
    time.sleep(0.5)
    assert queue_client.marks("began") == []
    resume(queue_client.redis)
    eventually(lambda: queue_client.marks("ended") == ["a"], "it runs")


def test_the_shutdown_command_ends_the_worker(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url)
    queue_client.ended_as(queue_client.sleep("a"), "finished")
    listening(queue_client, worker)
    send_shutdown_command(queue_client.redis, worker.name)
    assert worker.wait() == 0


def test_a_job_cancelled_in_the_queue_is_not_run(queue_client: QueueClient, start_worker: StartWorker) -> None:
    job = queue_client.sleep("a")
    queue_client.redis.hset(job.key, "status", "canceled")  # cancelled, but its id is still in the queue
    start_worker(queue_client.url)
    queue_client.ended_as(queue_client.sleep("b"), "finished")
    assert queue_client.marks("began") == ["b"]


def test_an_id_that_is_queued_twice_runs_once(queue_client: QueueClient, start_worker: StartWorker) -> None:
    queue_client.sleep("a", seconds=1)
    queue_client.redis.rpush(queue_client.queue.key, "a", "a")
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended"), "it ends")
    eventually(lambda: queue_client.inflight() == [] and queue_client.queue.job_ids == [], "the copies are gone")
    assert queue_client.marks("began") == ["a"]


def test_rqs_own_maintenance_leaves_running_jobs_alone(queue_client: QueueClient, start_worker: StartWorker) -> None:
    start_worker(queue_client.url)
    job = queue_client.hold("a", retry=Retry(max=3))
    eventually(job.get_executions, "its run is shown, since it takes long")
    far_future = time.time() + 10 * 365 * 86400
    StartedJobRegistry(queue=queue_client.queue).cleanup(far_future)
    clean_registries(queue_client.queue)
    queue_client.queue.intermediate_queue.cleanup(Worker.all(queue_client.redis)[0], queue_client.queue)
    assert job.get_status() == "started"
    assert queue_client.queue.started_job_registry.get_job_ids() == ["a"]
    queue_client.let_go()
    queue_client.ended_as(job, "finished")
    assert queue_client.marks("began") == ["a"]


def test_a_background_coroutine_that_raises_is_started_again(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    worker = start_worker(queue_client.url)
    eventually(lambda: len(queue_client.marks("cried")) >= 2, "it runs twice")
    assert "background_failed" in worker.log.read_text()


@pytest.mark.parametrize("name", ["rings", "mail"])
def test_expired_jobs_leave_rqs_registries(queue_client: QueueClient, start_worker: StartWorker, name: str) -> None:
    queue: Queue = queue_client.queue_named(name)
    queue_client.redis.zadd(queue.finished_job_registry.key, {"old": time.time() - 1, "new": time.time() + 60})
    start_worker(queue_client.url, {"rings": 1, "mail": 1})
    eventually(
        lambda: queue_client.redis.zrange(queue.finished_job_registry.key, 0, -1) == [b"new"], "the old one is gone"
    )
