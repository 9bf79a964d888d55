"""How a worker ends: what is in flight ends or goes back, and nothing is lost or run twice."""

import signal
import time

from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.scripts import source
from tests.worker.conftest import Desk, StartWorker, eventually


def test_an_idle_worker_ends_at_once_and_leaves_nothing_behind(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(desk.url, grace_s=60)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert worker.names() == set()
    assert desk.redis.keys("bellhop:worker:*") == []
    assert desk.redis.smembers("rq:workers") == set()


def test_jobs_in_flight_end_and_no_new_ones_begin(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(desk.url, grace_s=60)
    running = desk.sleep("running", seconds=5)
    eventually(lambda: desk.marks("began"), "the job begins")
    worker.signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log.read_text(), "the worker stops taking jobs")
    waiting = desk.sleep("waiting")
    assert worker.wait() == 0
    assert running.get_status() == "finished"
    assert waiting.get_status() == "queued"
    assert desk.marks("began") == ["running"]
    assert desk.queue.job_ids == ["waiting"]


def test_after_the_grace_jobs_go_back_to_the_front(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(desk.url, {"rings": 1}, grace_s=0.5)
    desk.sleep("running", seconds=60)
    eventually(lambda: desk.marks("began"), "the job begins")
    desk.sleep("waiting")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert desk.queue.job_ids == ["running", "waiting"]
    assert desk.queue.fetch_job("running").get_status() == "queued"
    assert desk.queue.started_job_registry.count == 0
    start_worker(desk.url)
    eventually(lambda: desk.marks("began") == ["running", "running", "waiting"], "both run")


def test_jobs_that_go_back_keep_their_order(desk: Desk, start_worker: StartWorker) -> None:
    desk.redis.script_load(
        source("queue/hand_back_job")
    )  # as bellhop worker does with every script, lest some have to ask twice
    worker = start_worker(desk.url, {"rings": 10}, grace_s=0.2)
    labels = [f"job-{number}" for number in range(12)]
    for label in labels:
        desk.sleep(label, seconds=60)
    eventually(lambda: len(desk.marks("began")) == 10, "as many as may begin")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert desk.queue.job_ids == labels


def test_jobs_taken_by_an_ending_worker_go_back_in_order(desk: Desk, start_worker: StartWorker) -> None:
    labels = [f"job-{number}" for number in range(6)]
    for _ in range(5):
        worker = start_worker(desk.url, grace_s=60)
        before = pops(desk)
        eventually(lambda before=before: pops(desk) > before, "a pop has just begun")
        worker.signal(signal.SIGTERM)
        time.sleep(0.2)  # it has heard that, and waits for its pop
        jobs = [desk.queue.prepare_data("jobs.sleep", ({"label": label},), job_id=label) for label in labels]
        desk.queue.enqueue_many(jobs)  # in one transaction, so that the pop finds them all
        assert worker.wait() == 0
        assert desk.marks("began") == []
        assert desk.queue.job_ids == labels
        assert desk.inflight() == []
        if took := [label for label in labels if desk.redis.hget(f"rq:job:{label}", "started_at")]:
            break
        desk.queue.empty()  # the pop was over before, as on a busy machine: another try
    assert took == labels[:4]
    start_worker(desk.url)
    eventually(lambda: len(desk.marks("ended")) == len(labels), "another worker runs them")
    assert desk.marks("began") == labels


def pops(desk: Desk) -> int:
    """How many pops Redis has counted; whether it counts one when it begins or ends, another has just begun then."""
    return desk.redis.info("commandstats").get("cmdstat_blmove", {}).get("calls", 0)


def test_a_second_signal_hands_back_at_once(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(desk.url, grace_s=300)
    desk.sleep("running", seconds=300)
    eventually(lambda: desk.marks("began"), "the job begins")
    worker.signal(signal.SIGTERM)
    eventually(lambda: "draining" in worker.log.read_text(), "it drains")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    assert desk.queue.job_ids == ["running"]


def test_a_busy_worker_hears_the_signal_too(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(desk.url, {"rings": 1}, grace_s=0)
    for number in range(3):
        desk.sleep(f"job-{number}", seconds=60)
    eventually(lambda: desk.marks("began"), "the first begins, and its queue waits for the slot")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert desk.queue.job_ids == ["job-0", "job-1", "job-2"]


def test_a_worker_ends_without_redis(own_redis: RedisServer, own_desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker(own_desk.url, grace_s=0)
    own_desk.sleep("running", seconds=60)
    eventually(lambda: own_desk.marks("began"), "the job begins")
    own_redis.stop()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    own_redis.start()
    start_worker(own_desk.url)
    eventually(lambda: own_desk.marks("began") == ["running", "running"], "another takes it over")
