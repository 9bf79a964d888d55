"""Killed and paused workers, lost answers, Redis away: a job runs once if that is possible, and it always ends."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from rq import Retry
from rq.registry import clean_registries

from bellhop.sandbox.redis_server import RedisServer
from bellhop.store.keys import inflight_key
from bellhop.store.scripts import sha1, source
from tests.proxy import Proxy
from tests.worker.queue.conftest import QueueClient, StartWorker, eventually


@pytest.fixture
def proxy(own_redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(own_redis.port) as proxy:
        yield proxy


def test_another_worker_takes_over_what_a_killed_one_ran(queue_client: QueueClient, start_worker: StartWorker) -> None:
    workers = [start_worker(queue_client.url), start_worker(queue_client.url)]
    job = queue_client.hold("a")
    eventually(lambda: queue_client.marks("began"), "the job begins")
    (killed,) = [worker for worker in workers if queue_client.inflight(worker.name)]
    killed.signal(signal.SIGKILL)
    killed.wait()
    queue_client.let_go()
    clean_registries(queue_client.queue)  # RQ's maintenance neither fails the job nor queues it twice
    queue_client.ended_as(job, "finished")
    assert queue_client.marks("began") == ["a", "a"]
    assert queue_client.marks("ended") == ["a"]
    eventually(lambda: killed.name not in killed.names(), "the dead worker is struck off")
    assert queue_client.inflight() == []


def test_jobs_of_a_killed_worker_return_when_another_starts(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    killed = start_worker(queue_client.url, {"rings": 1})
    queue_client.hold("begun")
    eventually(lambda: queue_client.marks("began"), "the job begins")
    killed.signal(signal.SIGKILL)
    killed.wait()
    queue_client.sleep("taken")
    queue_client.redis.lmove(
        queue_client.queue.key, inflight_key("rings", killed.name)
    )  # as if killed between taking and beginning the job
    queue_client.sleep("queued")
    start_worker(queue_client.url, {"mail": 1})  # serves another queue, and still gives back the jobs of dead workers
    eventually(
        lambda: queue_client.queue.job_ids == ["begun", "taken", "queued"], "the jobs are back, in front and in order"
    )
    queue_client.let_go()
    start_worker(queue_client.url)
    eventually(lambda: sorted(queue_client.marks("ended")) == ["begun", "queued", "taken"], "all end")
    assert queue_client.marks("began").count("taken") == 1
    lost = {label: queue_client.redis.hget(f"rq:job:{label}", "lost_workers") for label in ("begun", "taken")}
    assert lost == {"begun": b"1", "taken": None}, "a job that had not begun cannot have killed the worker"


@pytest.mark.parametrize(("script", "answer"), [("queue/take_jobs", b"$1\r\na\r\n"), ("queue/finish_job", b"")])
def test_a_step_is_done_once_when_its_answer_is_lost(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker, script: str, answer: bytes
) -> None:
    start_worker(proxy.url)
    own_queue_client.ended_as(own_queue_client.sleep("first"), "finished")  # Redis now knows the scripts
    lost = proxy.lose_answer(sha1(script).encode(), answer)
    job = own_queue_client.ended_as(own_queue_client.sleep("a", retry=Retry(max=3)), "finished")
    assert lost.happened.wait(10)
    eventually(lambda: own_queue_client.inflight() == [], "its bookkeeping is done")
    assert own_queue_client.marks("began") == ["first", "a"]
    assert set(own_queue_client.queue.finished_job_registry.get_job_ids()) == {"first", "a"}
    assert job.retries_left == 3


@pytest.mark.parametrize("script", ["queue/take_jobs", "queue/finish_job"])
def test_a_step_is_done_when_its_request_is_lost(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker, script: str
) -> None:
    start_worker(proxy.url)
    own_queue_client.ended_as(own_queue_client.sleep("first"), "finished")
    lost = proxy.lose_request(sha1(script).encode())
    own_queue_client.ended_as(own_queue_client.sleep("a", retry=Retry(max=3)), "finished")
    assert lost.happened.wait(10)
    assert own_queue_client.marks("began") == ["first", "a"]
    assert own_queue_client.inflight() == []


def test_a_failure_is_recorded_once_when_its_answer_is_lost(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker
) -> None:
    start_worker(proxy.url)
    own_queue_client.ended_as(own_queue_client.queue.enqueue("jobs.refuse", {"label": "first"}), "failed")
    lost = proxy.lose_answer(sha1("queue/fail_job").encode(), b"")
    job = own_queue_client.queue.enqueue("jobs.fail", {"label": "a"}, retry=Retry(max=1))
    own_queue_client.ended_as(job, "failed")
    assert lost.happened.wait(10)
    assert own_queue_client.marks("began") == ["first", "a", "a"]


@pytest.mark.parametrize("concurrency", [1, 200])
def test_a_job_whose_take_lost_its_answer_runs_at_once(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker, concurrency: int
) -> None:
    start_worker(proxy.url, {"rings": concurrency})
    lost = proxy.lose_answer(b"BLMOVE", b"astray")
    own_queue_client.ended_as(own_queue_client.sleep("astray"), "finished")
    assert lost.happened.wait(10)
    assert own_queue_client.marks("began") == ["astray"]


def test_jobs_of_a_lost_take_run_before_a_full_queue(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker
) -> None:
    lost = proxy.lose_answer(b"BLMOVE", b"astray")
    for label in ("astray", "too"):
        own_queue_client.sleep(label)
    for number in range(300):
        own_queue_client.sleep(str(number), seconds=0.05)
    start_worker(proxy.url, {"rings": 2})
    eventually(lambda: {"astray", "too"} <= set(own_queue_client.marks("ended")), "they run")
    assert lost.happened.wait(10)
    assert len(own_queue_client.marks("began")) < 300, "long before those that came after them"


def test_jobs_whose_take_is_answered_late_run_once_in_order(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker
) -> None:
    for script in ("queue/take_jobs", "queue/begin_job"):
        own_queue_client.redis.script_load(source(script))
    labels = [f"late-{number}" for number in range(4)]
    for label in labels:
        own_queue_client.sleep(label)
    late = proxy.delay_answer(b"BLMOVE", b"late-0", seconds=1.5)
    start_worker(proxy.url)
    eventually(late.happened.is_set, "the pop is answered")
    own_queue_client.ended_as(own_queue_client.sleep("after"), "finished")
    assert own_queue_client.marks("began") == [*labels, "after"]


@pytest.mark.parametrize("answer", [None, b"astray"])
def test_it_runs_once_though_its_start_is_lost_as_well(
    own_queue_client: QueueClient, proxy: Proxy, start_worker: StartWorker, answer: bytes | None
) -> None:
    own_queue_client.redis.script_load(source("queue/begin_job"))
    start_worker(proxy.url)
    proxy.lose_answer(b"BLMOVE", b"astray")
    start = sha1("queue/begin_job").encode()
    lost = proxy.lose_request(start) if answer is None else proxy.lose_answer(start, answer)
    own_queue_client.ended_as(own_queue_client.sleep("astray"), "finished")
    assert lost.happened.wait(10)
    assert own_queue_client.marks("began") == ["astray"]


def test_a_job_that_ends_while_redis_is_down_runs_once(
    own_redis: RedisServer, own_queue_client: QueueClient, start_worker: StartWorker
) -> None:
    start_worker(own_queue_client.url)
    start_worker(own_queue_client.url)
    job = own_queue_client.sleep("a", seconds=1, retry=Retry(max=3))
    eventually(lambda: own_queue_client.marks("began"), "the job begins")
    own_redis.stop(signal.SIGKILL)
    time.sleep(3.5)  # longer than a lease
    own_redis.start()
    own_queue_client.ended_as(job, "finished")
    own_queue_client.ended_as(own_queue_client.sleep("b"), "finished")
    assert own_queue_client.marks("began") == ["a", "b"]


def test_a_step_that_redis_refuses_is_repeated(own_queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(own_queue_client.url)
    job = own_queue_client.hold("a", retry=Retry(max=3))
    eventually(lambda: own_queue_client.marks("began"), "the job begins")
    own_queue_client.redis.acl_setuser("default", enabled=True, commands=["-evalsha"])
    own_queue_client.let_go()
    refused = {"step": "queue/finish_job"}.items()
    eventually(lambda: any(refused <= line.items() for line in worker.logged("redis_refuses")), "the worker says so")
    own_queue_client.redis.acl_setuser("default", enabled=True, commands=["+evalsha"])
    own_queue_client.ended_as(job, "finished")
    assert own_queue_client.marks("began") == ["a"]


def test_a_paused_redis_makes_nobody_look_dead(
    own_redis: RedisServer, own_queue_client: QueueClient, start_worker: StartWorker
) -> None:
    workers = [start_worker(own_queue_client.url), start_worker(own_queue_client.url)]
    job = own_queue_client.sleep("a", seconds=60, retry=Retry(max=3))
    eventually(lambda: own_queue_client.marks("began"), "the job begins")
    time.sleep(3.5)  # from now on both may presume workers dead
    os.kill(own_redis.pid, signal.SIGSTOP)
    time.sleep(3.5)  # longer than a lease
    os.kill(own_redis.pid, signal.SIGCONT)
    leases = [f"bellhop:worker:{worker.name}" for worker in workers]
    eventually(lambda: own_queue_client.redis.exists(*leases) == 2, "both have their leases again")
    assert own_queue_client.inflight() == ["a"]
    assert job.get_status() == "started"
    assert own_queue_client.marks("began") == ["a"]


def test_a_worker_that_was_paused_gives_up_what_others_took_over(
    queue_client: QueueClient, start_worker: StartWorker
) -> None:
    workers = [start_worker(queue_client.url), start_worker(queue_client.url)]
    job = queue_client.sleep("a", seconds=60)
    eventually(lambda: queue_client.marks("began"), "the job begins")
    (paused,) = [worker for worker in workers if queue_client.inflight(worker.name)]
    (other,) = [worker for worker in workers if worker is not paused]
    paused.signal(signal.SIGSTOP)
    eventually(lambda: len(queue_client.marks("began")) == 2, "the other one begins it too")
    paused.signal(signal.SIGCONT)
    eventually(lambda: "job_was_given_away" in paused.log.read_text(), "the first one stops")
    assert queue_client.inflight(other.name) == ["a"]
    assert job.get_status() == "started"
    paused.signal(signal.SIGTERM)
    assert paused.wait() == 0  # at once, since it runs no job
    assert queue_client.inflight(other.name) == ["a"]
