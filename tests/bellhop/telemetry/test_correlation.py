"""A job is tied to its webhook, with payloads of older versions and with payloads of any content."""

import asyncio
import json

import pytest
from structlog.contextvars import get_contextvars

from bellhop.queue.job_payloads import CallRef, QueuedRound, read_payload
from bellhop.queue.names import RING_JOB, SETTLE_JOB
from bellhop.telemetry.correlation import origin, picked_up

NOW = 1_800_000_000_000_000
ROUND = {
    "v": 1, "tenant": "default", "cid": "default:1", "session_id": "s", "started_at": 1, "deadline": 2,
    "caller_id": "sara", "caller_name": "Sara",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "payload"), [(RING_JOB, ROUND), (SETTLE_JOB, {"v": 1, "tenant": "default", "cid": "default:1"})]
)
def test_a_payload_of_an_older_version_is_read_and_has_no_cause(name, payload):
    read = read_payload(name, payload)
    assert (read.webhook, read.queued_at, read.trace) == ("", 0, "")


def test_the_cause_goes_through_the_queue_in_the_payload():
    cause = origin("f" * 32, 1_800_000_000_000_000)
    for name, payload in ((RING_JOB, QueuedRound(**ROUND)), (SETTLE_JOB, CallRef(tenant="default", cid="default:1"))):
        stored = json.loads(payload.model_copy(update=dict(cause)).model_dump_json())
        assert read_payload(name, stored).webhook == "f" * 32
        assert read_payload(name, stored).queued_at == 1_800_000_000_000_000


async def test_only_log_lines_of_the_jobs_task_name_its_webhook(tally):
    async def job():
        with picked_up("rings", RING_JOB, {**ROUND, "webhook": "abc", "queued_at": 1}, NOW):
            return get_contextvars()["webhook"]

    assert await asyncio.create_task(job()) == "abc"
    assert "webhook" not in get_contextvars()
    assert '["bellhop_queue_wait_seconds", "rings", "14"]' in tally.flush()[2]


@pytest.mark.parametrize("garbage", [None, "", "x", [], {}, -1, 1.5, True, 2**63])
def test_a_payload_from_elsewhere_stops_nothing(tally, garbage):
    with picked_up("rings", "anything", {"webhook": garbage, "queued_at": garbage, "trace": garbage}, NOW):
        pass


def test_a_clock_that_runs_behind_makes_no_negative_wait(tally):
    with picked_up("rings", RING_JOB, {"queued_at": 2**60}, NOW):
        pass
    assert tally.flush()[2][-2:] == ['["bellhop_queue_wait_seconds", "rings", "sum"]', "0"]
