"""Jobs whose deadline has passed do not hold up those that still have time, and run all the same."""

import json
import time
from collections import Counter

import pytest

from bellhop.store import queue_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import inflight_key, rq_queue_key, rq_registry_key
from tests.worker.queue.conftest import QueueClient, StartWorker, eventually

TAKE = queue_scripts.take_jobs("rings", "w-1", 4)
MAX_LATE = 200
"""How many jobs one take may put off."""
LATE_PER_S = 50


def wait_in_queue(queue_client: QueueClient, deadlines: dict[str, float | None]) -> None:
    """Queue jobs with these deadlines, in seconds from now; None for a job of an older version, which has none."""
    pipeline = queue_client.redis.pipeline(transaction=False)
    for label, in_s in deadlines.items():
        fields = {
            "status": "queued",
            "origin": "rings",
            "data": json.dumps(["jobs.sleep", None, [{"label": label}], {}]),
        }
        if in_s is not None:
            fields["deadline"] = str(int((time.time() + in_s) * 1e6))
        pipeline.hset(f"rq:job:{label}", mapping=fields)
        pipeline.rpush(rq_queue_key("rings"), label)
    pipeline.execute()


def take(queue_client: QueueClient) -> list[str]:
    """Do what one take of a worker does; returns the jobs that it began."""
    queue_client.redis.lmove(rq_queue_key("rings"), inflight_key("rings", "w-1"), "LEFT", "RIGHT")
    return [answer[0].decode() for answer in run_script(queue_client.redis, TAKE)]


def late(count: int) -> dict[str, float | None]:
    return {f"late-{number}": -1.0 for number in range(count)}


def put_off(queue_client: QueueClient) -> list[tuple[str, float]]:
    pairs = queue_client.redis.zrange(rq_registry_key("scheduled", "rings"), 0, -1, withscores=True)
    return [(job_id.decode(), due) for job_id, due in pairs]


def test_ten_thousand_late_jobs_cost_a_fresh_one_few_takes(queue_client: QueueClient) -> None:
    wait_in_queue(queue_client, late(10_000) | {"fresh": 60})
    before, takes = 10_001, 0
    while (began := take(queue_client)) == []:
        takes += 1
        waiting = queue_client.queue.count
        assert before - waiting <= MAX_LATE, "a script must not keep Redis busy for long"
        before = waiting
    assert began == ["fresh"], "no late job runs before it"
    assert takes <= 10_000 / MAX_LATE
    assert len(put_off(queue_client)) == 10_000
    assert queue_client.inflight() == ["fresh"]


def test_late_jobs_are_queued_again_a_few_a_second(queue_client: QueueClient) -> None:
    wait_in_queue(queue_client, late(500) | {"fresh": 60})
    while take(queue_client) == []:
        pass
    due = Counter(at for _, at in put_off(queue_client))
    assert max(due.values()) <= LATE_PER_S + 1
    assert max(due) <= time.time() + 500 / LATE_PER_S + 2


def test_late_jobs_run_after_the_fresh_one(queue_client: QueueClient, start_worker: StartWorker) -> None:
    wait_in_queue(queue_client, late(120) | {"fresh": 60, "late-120": -1.0, "fresh-2": 60})
    start_worker(queue_client.url)
    eventually(lambda: queue_client.queue.finished_job_registry.count == 123, "all run")
    assert set(queue_client.marks("began")[:2]) == {"fresh", "fresh-2"}
    assert len(set(queue_client.marks("began"))) == len(queue_client.marks("began")), "each runs once"
    assert put_off(queue_client) == []


def test_a_late_job_is_put_off_once(queue_client: QueueClient) -> None:
    wait_in_queue(queue_client, {"late": -1, "fresh": 60})
    assert take(queue_client) == ["fresh"]
    ((_, due),) = put_off(queue_client)
    eventually(lambda: time.time() >= due, "it is due")
    run_script(queue_client.redis, queue_scripts.enqueue_scheduled(["rings"], limit=100))
    wait_in_queue(queue_client, {"fresh-2": 60})
    assert take(queue_client) == ["late", "fresh-2"]


def test_a_take_that_is_run_again_puts_off_nothing_twice(queue_client: QueueClient) -> None:
    wait_in_queue(queue_client, late(3) | {"fresh": 60})
    assert take(queue_client) == ["fresh"]
    assert run_script(queue_client.redis, TAKE) == [], "the answer of the first was lost"
    assert [job_id for job_id, _ in put_off(queue_client)] == ["late-0", "late-1", "late-2"]


@pytest.mark.parametrize("deadlines", [{"late": -1}, {"old": None, "fresh": 60}], ids=["alone", "of an older version"])
def test_a_job_begins_at_once(queue_client: QueueClient, deadlines: dict[str, float | None]) -> None:
    """A late job behind which none waits holds up nobody; a job without a deadline is never late."""
    wait_in_queue(queue_client, deadlines)
    assert take(queue_client) == list(deadlines)
