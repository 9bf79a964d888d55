"""How a worker ends: running jobs end or go back to their queue, and no job is lost or runs twice."""

import signal

from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.scripts import source
from tests.worker.queue.conftest import QueueClient, StartWorker, WorkerProcess, eventually


def test_an_idle_worker_ends_at_once_and_leaves_nothing_behind(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    worker = start_worker(queue_client.url, grace_s=60)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert worker.names() == set()
    assert queue_client.redis.keys("bellhop:worker:*") == []
    assert queue_client.redis.smembers("rq:workers") == set()


def test_jobs_in_flight_end_and_no_new_ones_begin(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url, grace_s=60)
    running = queue_client.hold("running")
    eventually(lambda: queue_client.marks("began"), "the job begins")
    worker.signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log.read_text(), "the worker stops taking jobs")
    waiting = queue_client.sleep("waiting")
    queue_client.let_go()
    assert worker.wait() == 0
    assert running.get_status() == "finished"
    assert waiting.get_status() == "queued"
    assert queue_client.marks("began") == ["running"]
    assert queue_client.queue.job_ids == ["waiting"]


def test_after_the_grace_jobs_go_back_to_the_front(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url, {"rings": 1}, grace_s=0.5)
    queue_client.sleep("running", seconds=60)
    eventually(lambda: queue_client.marks("began"), "the job begins")
    queue_client.sleep("waiting")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert queue_client.queue.job_ids == ["running", "waiting"]
    assert queue_client.queue.fetch_job("running").get_status() == "queued"
    assert queue_client.queue.started_job_registry.count == 0
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("began") == ["running", "running", "waiting"], "both run")


def test_jobs_that_go_back_keep_their_order(queue_client: QueueClient, start_worker: StartWorker) -> None:
    queue_client.redis.script_load(
        source("queue/hand_back_job")
    )  # as `bellhop worker` does with every script: a script that Redis does not know needs two round trips
    worker = start_worker(queue_client.url, {"rings": 10}, grace_s=0.2)
    labels = [f"job-{number}" for number in range(12)]
    for label in labels:
        queue_client.sleep(label, seconds=60)
    eventually(lambda: len(queue_client.marks("began")) == 10, "as many as may begin")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert queue_client.queue.job_ids == labels


def test_jobs_taken_by_an_ending_worker_go_back_in_order(queue_client: QueueClient, start_worker: StartWorker) -> None:
    labels = [f"job-{number}" for number in range(6)]
    for _ in range(5):
        worker = start_worker(queue_client.url, grace_s=60)
        before = takes(queue_client)
        eventually(lambda before=before: takes(queue_client) > before, "a take has just begun")
        signal_and_wait(worker)
        jobs = [queue_client.queue.prepare_data("jobs.sleep", ({"label": label},), job_id=label) for label in labels]
        queue_client.queue.enqueue_many(jobs)  # in one transaction, so that the take finds them all
        assert worker.wait() == 0
        assert queue_client.marks("began") == []
        assert queue_client.queue.job_ids == labels
        assert queue_client.inflight() == []
        if took := [label for label in labels if queue_client.redis.hget(f"rq:job:{label}", "started_at")]:
            break
        queue_client.queue.empty()  # the take had ended before, as on a busy machine: try again
    assert took == labels[:4]
    start_worker(queue_client.url)
    eventually(lambda: len(queue_client.marks("ended")) == len(labels), "another worker runs them")
    assert queue_client.marks("began") == labels


def signal_and_wait(worker: WorkerProcess) -> None:
    """Tell a worker to end; returns when it has received the signal."""
    before = len(worker.logged("stopping"))
    worker.signal(signal.SIGTERM)
    eventually(lambda: len(worker.logged("stopping")) > before, "it receives the signal")


def takes(queue_client: QueueClient) -> int:
    """How many BLMOVEs Redis has counted. When the number grows, another has just begun."""
    return queue_client.redis.info("commandstats").get("cmdstat_blmove", {}).get("calls", 0)


def test_a_second_signal_hands_back_at_once(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url, grace_s=300)
    queue_client.sleep("running", seconds=300)
    eventually(lambda: queue_client.marks("began"), "the job begins")
    worker.signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log.read_text(), "it drains")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    assert queue_client.queue.job_ids == ["running"]


def test_a_busy_worker_hears_the_signal_too(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url, {"rings": 1}, grace_s=0)
    for number in range(3):
        queue_client.sleep(f"job-{number}", seconds=60)
    eventually(lambda: queue_client.marks("began"), "the first begins, and the others wait for its place")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert queue_client.queue.job_ids == ["job-0", "job-1", "job-2"]


def test_a_worker_ends_without_redis(
    own_redis: RedisServer, own_queue_client: QueueClient, start_worker: StartWorker
) -> None:
    worker = start_worker(own_queue_client.url, grace_s=0)
    own_queue_client.sleep("running", seconds=60)
    eventually(lambda: own_queue_client.marks("began"), "the job begins")
    own_redis.stop()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    own_redis.start()
    start_worker(own_queue_client.url)
    eventually(lambda: own_queue_client.marks("began") == ["running", "running"], "another takes it over")
