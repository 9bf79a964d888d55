"""`bellhop replay` on what really ended in RQ's failed registry."""

import time
import tracemalloc
import zlib

import pytest
from click.testing import CliRunner
from rq import Queue
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from bellhop.cli import main
from bellhop.queue.names import MAIL, NOTICE_JOB, NOTICES, RING_JOB, RINGS
from bellhop.store.keys import round_key

NOTICE = {"v": 1, "tenant": "default", "cid": "default:a", "started_at": 1}


@pytest.fixture
def known_round(redis_client):
    """Let Redis know the round of NOTICE, as it does for some hours."""
    redis_client.hset(round_key("default", "default:a", 1), "facts", "{}")


@pytest.fixture
def fail(redis_client):
    """Leave a job in the failed registry."""

    def fail(name, payload, queue=NOTICES, job_id="job"):
        queue = Queue(queue, connection=redis_client, serializer=JSONSerializer)
        job = queue.enqueue(name, payload, job_id=job_id, description="a job")
        queue.remove(job)
        job.set_status("failed")
        redis_client.hset(job.key, mapping={"lost_workers": 2, "suspicions": 2})
        FailedJobRegistry(queue.name, connection=redis_client).add(job, ttl=60, exc_string="no such thing")
        return job

    return fail


@pytest.fixture
def replay(redis_url):
    def replay(*arguments):
        result = CliRunner(env={"BELLHOP_REDIS_URL": redis_url}).invoke(main, ["replay", *arguments])
        return result.exit_code, result.output

    return replay


def queued(redis_client, queue):
    return Queue(queue, connection=redis_client).job_ids


def in_s(seconds):
    return int((time.time() + seconds) * 1e6)


def test_nothing_to_run_again_is_reported(replay):
    assert replay("--failed") == (0, "No job has failed.\n")


@pytest.mark.usefixtures("known_round")
def test_a_failed_notice_is_queued_again_as_it_was(redis_client, fail, replay):
    job = fail(NOTICE_JOB, NOTICE)
    assert replay("job") == (0, "job: queued again\n")
    assert queued(redis_client, NOTICES) == ["job"]
    assert FailedJobRegistry(NOTICES, connection=redis_client).count == 0
    job.refresh()
    assert (job.get_status().value, job.func_name, job.args) == ("queued", NOTICE_JOB, [NOTICE])
    assert redis_client.ttl(job.key) == -1, "it may wait in its queue"


def test_a_ring_that_is_over_is_named_and_not_run_again(redis_client, fail, replay):
    fail(RING_JOB, {"v": 1, "deadline": 1_700_000_000_000_000}, RINGS)
    status, output = replay("job")
    assert (status, output) == (
        1,
        "job: too old: its ring was over at 2023-11-14 22:13:20 UTC; it is not run again\n",
    )
    assert queued(redis_client, RINGS) == []
    assert FailedJobRegistry(RINGS, connection=redis_client).count == 1


def test_a_ring_that_still_lasts_is_run_again(redis_client, fail, replay):
    fail(RING_JOB, {"v": 1, "deadline": in_s(20)}, RINGS)
    assert replay("job")[0] == 0
    assert queued(redis_client, RINGS) == ["job"]


def test_a_notice_of_a_forgotten_round_is_not_run_again(redis_client, fail, replay):
    fail(NOTICE_JOB, NOTICE)
    status, output = replay("job")
    assert status == 1
    assert "which of the user's phones it reached is no longer known" in output
    assert queued(redis_client, NOTICES) == []


@pytest.mark.usefixtures("known_round")
def test_failed_means_every_failed_job_of_every_queue(redis_client, fail, replay):
    fail(RING_JOB, {"v": 1, "deadline": 1}, RINGS, "old-ring")
    fail(NOTICE_JOB, NOTICE, NOTICES, "notice")
    fail("worker.jobs.mail", {"v": 1}, MAIL, "letter")
    status, output = replay("--failed")
    assert status == 0
    assert output.splitlines() == [
        "old-ring: too old: its ring was over at 1970-01-01 00:00:00 UTC; it is not run again",
        "notice: queued again",
        "letter: queued again",
    ]
    assert (queued(redis_client, NOTICES), queued(redis_client, MAIL)) == (["notice"], ["letter"])


@pytest.mark.parametrize("deadline", ["soon", None, -(10**26)])
def test_a_ring_whose_deadline_nobody_can_read_is_too_old(fail, replay, redis_client, deadline):
    fail(RING_JOB, {"v": 1, "deadline": deadline}, RINGS)
    assert replay("job") == (1, "job: too old: its ring was over at 1970-01-01 00:00:00 UTC; it is not run again\n")
    assert queued(redis_client, RINGS) == []


def test_a_job_that_is_not_there_or_has_not_failed_is_named(redis_client, replay):
    Queue(NOTICES, connection=redis_client, serializer=JSONSerializer).enqueue(NOTICE_JOB, {"v": 1}, job_id="waiting")
    assert replay("nobody", "waiting") == (
        1,
        "nobody: there is no such job; a failed one is kept for a day\nwaiting: it has not failed: it is queued\n",
    )
    assert queued(redis_client, NOTICES) == ["waiting"]


def test_what_nobody_can_read_stays_where_it_is(redis_client, fail, replay):
    job = fail(NOTICE_JOB, {"v": 1})
    redis_client.hset(job.key, "data", b"\xff\xfe")
    status, output = replay("job")
    assert status == 1
    assert "cannot be read" in output
    assert FailedJobRegistry(NOTICES, connection=redis_client).count == 1


@pytest.mark.usefixtures("known_round")
@pytest.mark.parametrize("field", ["created_at", "ended_at", "timeout", "status", "origin", "meta", "result_ttl"])
@pytest.mark.parametrize("text", [b"abc", b"\xff", b""])
def test_a_field_that_nobody_can_read_holds_up_no_job(redis_client, fail, replay, field, text):
    job = fail(NOTICE_JOB, NOTICE)
    redis_client.hset(job.key, field, text)
    assert replay("job") == (0, "job: queued again\n")
    assert queued(redis_client, NOTICES) == ["job"]


def test_an_entry_that_is_not_a_job_harms_no_other(redis_client, fail, replay):
    redis_client.set("rq:job:text", "no hash")
    redis_client.zadd(f"rq:failed:{MAIL}", {"text": 2e9, b"\xff\x1b[2J": 2e9, "gone": 2e9})
    fail("worker.jobs.mail", {"v": 1}, MAIL, "letter")
    status, output = replay("--failed")
    assert status == 0
    assert "letter: queued again" in output
    assert output.count("there is no such job") == 3
    assert "\x1b" not in output


def test_a_job_that_inflates_to_more_than_it_may_is_not_read(redis_client, fail, replay):
    job = fail(NOTICE_JOB, NOTICE)
    redis_client.hset(job.key, "data", zlib.compress(b"[" + b" " * (64 << 20)))
    tracemalloc.start()
    assert "cannot be read" in replay("job")[1]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 << 20


@pytest.mark.parametrize("arguments", [(), ("job", "--failed")])
def test_it_wants_either_names_or_failed(replay, arguments):
    status, output = replay(*arguments)
    assert status == 2
    assert "Name the jobs, or use --failed." in output
