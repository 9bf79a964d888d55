"""Failed jobs in the console: listed with their reasons, run again by a button, and only by it."""

import time
from datetime import UTC, datetime

import pytest
from rq import Queue
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from bellhop.queue.names import NOTICE_JOB, NOTICES, RING_JOB, RINGS
from bellhop.store.keys import round_key
from tests.webhook.console.played_calls import token


@pytest.fixture
def fail(redis_client):
    """Leave a job in RQ's failed registry."""

    def fail(job_id="job", name=NOTICE_JOB, payload=None, queue=NOTICES, reason="no such thing"):
        queue = Queue(queue, connection=redis_client, serializer=JSONSerializer)
        payload = payload or {"v": 1, "tenant": "default", "cid": "default:a"}
        job = queue.enqueue(name, payload, job_id=job_id, description="a job")
        queue.remove(job)
        job.set_status("failed")
        job.ended_at = datetime.now(UTC)
        job.save()
        FailedJobRegistry(queue.name, connection=redis_client).add(job, ttl=60)
        Result.create_failure(job, ttl=60, exc_string=reason)

    return fail


def run_again(browser, job_id):
    return browser.post("/console/failed", data={"token": token(browser.get("/console/failed")), "job": job_id})


def queued(redis_client, queue=NOTICES):
    return Queue(queue, connection=redis_client).job_ids


def test_a_page_without_failures_has_a_sentence(browser):
    assert "No failed jobs. A failed job stays here for one day." in browser.get("/console/failed").text


def test_a_failed_notice_is_listed_with_its_call_and_reason(browser, fail):
    fail(reason="Traceback of no interest\nthe payload is of version 9: upgrade the worker")
    page = browser.get("/console/failed").text
    assert "Missed-call notice" in page
    assert "/console/call?id=default:a" in page
    assert "the payload is of version 9: upgrade the worker" in page
    assert "Traceback" not in page


def test_the_button_runs_it_again(browser, fail, redis_client):
    fail(payload={"v": 1, "tenant": "default", "cid": "default:a", "started_at": 1})
    redis_client.hset(round_key("default", "default:a", 1), "facts", "{}")
    page = run_again(browser, "job")
    assert page.status_code == 200
    assert "Queued again" in page.text
    assert queued(redis_client) == ["job"]


def test_the_bar_of_each_page_counts_failed_jobs_and_runs_them(browser, fail, redis_client):
    assert "Run failed jobs again" not in browser.get("/console/").text
    for number in range(3):
        fail(f"job-{number}", payload={"v": 1, "tenant": "default", "cid": "default:a", "started_at": number})
    for number in (0, 1):
        redis_client.hset(round_key("default", "default:a", number), "facts", "{}")
    for path in ("/console/", "/console/service", "/console/call?id=x"):
        page = browser.get(path).text
        assert 'Failed jobs <span class="badge bad">3</span>' in page
        assert "Run failed jobs again" in page
    assert browser.post("/console/failed", data={"job": "all"}).status_code == 403
    page = run_again(browser, "all").text
    assert "Queued again" in page
    assert page.count("Not run again: too old") == 1
    assert sorted(queued(redis_client)) == ["job-0", "job-1"]
    assert 'Failed jobs <span class="badge bad">1</span>' in page


def test_a_ring_that_is_over_is_not_run_again(browser, fail, redis_client):
    fail(name=RING_JOB, payload={"v": 1, "deadline": int(time.time() * 1e6) - 1}, queue=RINGS)
    page = run_again(browser, "job")
    assert "Not run again: too old" in page.text
    assert queued(redis_client, RINGS) == []


def test_a_job_that_is_not_there_is_named_so(browser):
    assert "Not run again: there is no such job" in run_again(browser, "<b>nothing</b>").text


def test_looking_at_the_page_runs_nothing(browser, fail, redis_client):
    fail()
    browser.get("/console/failed?job=job")
    assert queued(redis_client) == []


def test_a_job_that_nobody_can_read_is_listed_too(browser, fail, redis_client):
    fail()
    redis_client.hset("rq:job:job", "data", b"\xff\x00")
    page = browser.get("/console/failed")
    assert page.status_code == 200
    assert "Unreadable job" in page.text


ODD = [("created_at", b"abc"), ("ended_at", b"abc"), ("timeout", b"abc"), ("status", b"\xff"), ("origin", b"\xff")]


@pytest.mark.parametrize(("field", "value"), ODD)
def test_a_field_that_nobody_can_read_hides_no_job(browser, fail, redis_client, field, value):
    fail("odd")
    fail("other")
    redis_client.hset("rq:job:odd", field, value)
    page = browser.get("/console/failed")
    assert page.status_code == 200
    assert page.text.count("Run again") == 2


def test_a_reason_that_nobody_can_read_hides_no_job(browser, fail, redis_client):
    fail("odd")
    redis_client.delete("rq:results:odd")
    redis_client.xadd("rq:results:odd", {"type": 2, "exc_string": "no base64!"})
    fail("odder")
    redis_client.set("rq:results:odder", "no stream")
    assert browser.get("/console/failed").text.count("Run again") == 2


def test_what_a_reason_says_is_text(browser, fail):
    fail(reason="<script>alert(1)</script>")
    assert "<script>alert" not in browser.get("/console/failed").text


def test_thousands_of_failures_make_one_page_of_the_latest(browser, fail, redis_client):
    for number in range(120):
        fail(f"job-{number}")
        redis_client.zadd(f"rq:failed:{NOTICES}", {f"job-{number}": 2e9 + number})
    page = browser.get("/console/failed").text
    assert page.count("Run again") == 100
    assert "job-119" in page


def test_failures_of_others_in_an_old_queue_hide_none(browser, fail):
    """Under the old names of our queues, other applications have jobs."""
    fail("ours")
    for number in range(100):
        fail(f"theirs-{number}", name="reports.make", queue="notices")
    page = browser.get("/console/failed").text
    assert "ours" in page
    assert page.count("Run again") == 1
