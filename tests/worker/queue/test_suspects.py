"""Jobs that were in flight when workers died: which one is suspected, and what becomes of the others."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from rq import Retry
from rq.job import Job

from bellhop.store.keys import rq_worker_key
from tests.worker.queue.conftest import QueueClient, StartWorker, WorkerProcess, eventually

CROWD = [f"innocent-{number}" for number in range(40)]
MOST_DEATHS = 10
QUEUES = {"rings": 200, "mail": 200}


def started_until(start_worker: StartWorker, url: str, done: Callable[[], object]) -> int:
    """Start a worker, and another one whenever one has died, until `done()`. Returns how many died."""
    deaths = 0
    worker = start_worker(url, QUEUES)

    def look() -> bool:
        nonlocal deaths, worker
        if worker.process.poll() is not None:
            deaths += 1
            assert deaths <= MOST_DEATHS, "the number of deaths has a limit"
            worker = start_worker(url, QUEUES)
        return bool(done())

    eventually(look, "all are done with", within_s=90)
    return deaths


def with_deadline(queue_client: QueueClient, job: Job, in_s: float) -> Job:
    queue_client.redis.hset(job.key, "deadline", int((time.time() + in_s) * 1e6))
    return job


def poison(queue_client: QueueClient, label: str = "poison", queue: str = "rings", **options: object) -> Job:
    return queue_client.queue_named(queue).enqueue("jobs.die", {"label": label}, job_id=label, **options)


def killed(worker: WorkerProcess) -> None:
    worker.signal(signal.SIGKILL)
    worker.wait()


def renewed_later(queue_client: QueueClient, worker: WorkerProcess) -> None:
    """Wait until the worker has renewed its lease so often that no job that runs now counts as newly begun."""
    late_ms = int(time.time() * 1000) + 500
    renewed_ms = lambda: int(queue_client.redis.hget(rq_worker_key(worker.name), "renewed_ms"))  # noqa: E731
    eventually(lambda: renewed_ms() > late_ms, "its lease is renewed")


def counts(queue_client: QueueClient, label: str) -> list[bytes | None]:
    return queue_client.redis.hmget(f"rq:job:{label}", "lost_workers", "suspicions")


def test_forty_jobs_survive_three_kills_of_the_machine(queue_client: QueueClient, start_worker: StartWorker) -> None:
    for number, label in enumerate(CROWD):
        job = queue_client.sleep(label, seconds=3)
        if number % 2:  # a ring has a deadline, a notice has none
            with_deadline(queue_client, job, 600)
    for begun in (40, 40, 1):  # the third time, suspects run alone
        before = len(queue_client.marks("began"))
        worker = start_worker(queue_client.url)

        def they_begin(before: int = before, begun: int = begun) -> bool:
            left = len(CROWD) - len(set(queue_client.marks("ended")))  # on a busy machine, some end before the kill
            return len(queue_client.marks("began")) >= before + min(begun, left)

        eventually(they_begin, "they begin")
        killed(worker)
    start_worker(queue_client.url)
    eventually(lambda: set(queue_client.marks("ended")) == set(CROWD), "all run", within_s=60)
    assert queue_client.queue.failed_job_registry.count == 0


@pytest.mark.parametrize("deadline_s", [None, 4], ids=["no deadline", "a deadline"])
def test_a_poison_job_among_forty_fails_alone(
    queue_client: QueueClient, start_worker: StartWorker, deadline_s: float | None
) -> None:
    for label in CROWD[:20]:
        queue_client.sleep(label, seconds=0.05)
    job = poison(queue_client, retry=Retry(max=9))
    if deadline_s:
        with_deadline(queue_client, job, deadline_s)
    for label in CROWD[20:]:
        queue_client.sleep(label, seconds=0.05)
    failed = queue_client.queue.failed_job_registry
    deaths = started_until(
        start_worker,
        queue_client.url,
        lambda: failed.count and set(queue_client.marks("ended")) == set(CROWD),
    )
    assert failed.get_job_ids() == ["poison"]
    assert deaths >= 5
    reason = f"{deaths} workers died right after they began this job, or while they ran it alone"
    assert job.latest_result().exc_string == reason
    eventually(lambda: queue_client.inflight() == [], "nothing is left")


def test_poison_in_two_queues_fails_no_other_job(queue_client: QueueClient, start_worker: StartWorker) -> None:
    """They stand in front of their queues, so each new worker takes both at once, and the innocent ones behind them."""
    for queue in QUEUES:
        poison(queue_client, f"poison-{queue}", queue)
        queue_client.sleep(f"innocent-{queue}", seconds=0.05, queue=queue)
    failed = [queue_client.queue_named(queue).failed_job_registry for queue in QUEUES]
    started_until(
        start_worker,
        queue_client.url,
        lambda: all(registry.count for registry in failed) and len(queue_client.marks("ended")) == 2,
    )
    assert [registry.get_job_ids() for registry in failed] == [["poison-rings"], ["poison-mail"]]
    assert set(queue_client.marks("ended")) == {"innocent-rings", "innocent-mail"}


def test_only_the_newly_begun_are_suspected(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url)
    queue_client.sleep("old", seconds=60)
    eventually(lambda: queue_client.marks("began") == ["old"], "it begins")
    renewed_later(queue_client, worker)
    poison(queue_client, "new")
    worker.wait()
    start_worker(queue_client.url, {"mail": 1}, all_queues=["rings", "mail"])
    eventually(lambda: queue_client.queue.job_ids == ["old", "new"], "both are back")
    assert counts(queue_client, "old") == [b"1", None]
    assert counts(queue_client, "new") == [b"1", b"1"]


def test_a_job_that_ran_alone_is_suspected(queue_client: QueueClient, start_worker: StartWorker) -> None:
    worker = start_worker(queue_client.url)
    queue_client.sleep("old", seconds=60)
    eventually(lambda: queue_client.marks("began") == ["old"], "it begins")
    renewed_later(queue_client, worker)
    killed(worker)
    start_worker(queue_client.url)
    eventually(lambda: len(queue_client.marks("began")) == 2, "it runs again")
    assert counts(queue_client, "old") == [b"1", b"1"]


@pytest.fixture
def suspect(queue_client: QueueClient) -> Iterator[Job]:
    """A suspect that runs for a tenth of the time for which it may run alone, and is not late."""
    job = with_deadline(queue_client, queue_client.sleep("suspect", seconds=0.2), 600)
    queue_client.redis.hset(job.key, mapping={"lost_workers": 5, "suspicions": 5})
    return job


def test_no_job_of_any_queue_begins_beside_a_suspect(
    queue_client: QueueClient, start_worker: StartWorker, suspect: Job
) -> None:
    for number in range(4):
        queue_client.sleep(f"behind-{number}")
        queue_client.sleep(f"mail-{number}", queue="mail")
    start_worker(queue_client.url, QUEUES)
    eventually(lambda: len(queue_client.marks("ended")) == 9, "all run")
    order = queue_client.marks("order")
    assert order[order.index("began suspect") + 1] == "ended suspect"


def test_a_slow_suspect_does_not_hold_up_others_for_long(queue_client: QueueClient, start_worker: StartWorker) -> None:
    job = queue_client.sleep("suspect", seconds=60)
    queue_client.redis.hset(job.key, mapping={"lost_workers": 9, "suspicions": 4})
    queue_client.sleep("behind")
    start_worker(queue_client.url)
    eventually(lambda: queue_client.marks("ended") == ["behind"], "the other runs")
    assert queue_client.marks("began") == ["suspect", "behind"]
    eventually(lambda: queue_client.inflight() == ["suspect"], "only the suspect is left")


@pytest.mark.parametrize("suspicions", [{"lost_workers": 30, "suspicions": 30}, {"lost_workers": 30}])
@pytest.mark.parametrize("in_time", [True, False])
def test_a_job_that_still_has_time_is_never_given_up(
    queue_client: QueueClient, start_worker: StartWorker, suspicions: dict[str, int], in_time: bool
) -> None:
    job = with_deadline(queue_client, queue_client.sleep("ring"), 60 if in_time else -1)
    queue_client.redis.hset(job.key, mapping=suspicions)
    start_worker(queue_client.url)
    queue_client.ended_as(job, "finished" if in_time else "failed")
    assert queue_client.marks("ended") == ["ring"] * in_time


def test_a_suspect_pauses_longer_after_each_death(queue_client: QueueClient, start_worker: StartWorker) -> None:
    job = with_deadline(queue_client, queue_client.sleep("suspect", seconds=600), 600)
    start_worker(queue_client.url, {"mail": 1}, all_queues=["rings", "mail"])  # gives it back, and does not take it
    for suspicions, pause_s in ((1, 0), (5, 8), (7, 32)):
        queue_client.redis.hset(job.key, "suspicions", suspicions)
        before = len(queue_client.marks("began"))
        worker = start_worker(queue_client.url)
        eventually(lambda: len(queue_client.marks("began")) > before, "it begins")  # noqa: B023
        killed_at = time.time()
        killed(worker)
        back = eventually(lambda: job.get_status(refresh=True).value != "started", "it is back")
        assert back
        due = queue_client.redis.zscore(queue_client.queue.scheduled_job_registry.key, "suspect")
        if pause_s:
            assert due is not None
            assert due >= killed_at + pause_s
            queue_client.redis.zadd(queue_client.queue.scheduled_job_registry.key, {"suspect": killed_at})  # later
            eventually(lambda: queue_client.queue.job_ids == ["suspect"], "it is queued again")
        else:
            assert due is None
            assert queue_client.queue.job_ids == ["suspect"]
