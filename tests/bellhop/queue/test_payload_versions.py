"""Payloads in a rolling upgrade: this worker reads those of an older web process, and an older worker reads ours."""

import json
from pathlib import Path

import pytest

from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.queue.job_payloads import (
    PAYLOADS,
    STARTED_VERSION,
    VERSION,
    CallRef,
    Cause,
    EmailRef,
    QueuedRound,
    StartedRound,
    read_payload,
    started_round,
)
from bellhop.queue.names import NOTIFY_JOB, RETRIED_AFTER_S

V1 = Path(__file__).parent / "payloads" / "v1"
"""Payloads as version 1 first queued them, frozen: never change one to make a test pass."""
JOBS = {name.rpartition(".")[2]: name for name in PAYLOADS}


def frozen(job):
    return json.loads((V1 / f"{job}.json").read_text())


def test_every_job_has_its_frozen_payload():
    assert {path.stem for path in V1.glob("*.json")} == set(JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_a_payload_of_an_older_version_is_read_whole(job):
    queued = frozen(job)
    assert json.loads(read_payload(JOBS[job], queued).model_dump_json()) == queued | later(job)


def later(job):
    """Fields that were added to version 1 later and are always written, with their defaults."""
    added = {name: field for name, field in PAYLOADS[JOBS[job]].model_fields.items() if name not in frozen(job)}
    return {name: field.default for name, field in added.items() if field.exclude_if is None}


def test_a_ring_still_means_what_it_meant():
    ring = read_payload(JOBS["ring"], frozen("ring"))
    assert isinstance(ring, QueuedRound)
    assert (ring.cid, ring.started_at, ring.deadline) == ("default:8f3a", 1_800_000_000_000_001, 1_800_000_030_000_001)
    assert ring.recipients[0] == Recipient(id="jane-morel", name="Jane Morel", language="nl", email="jane@example.org")
    assert read_payload(JOBS["settle"], frozen("settle")).cid == "default:8f3a"
    assert read_payload(JOBS["mail"], frozen("mail")) == EmailRef(letter="3c8e1f60a1b24d")


@pytest.mark.parametrize(
    ("job", "payload"),
    [
        (
            "ring",
            QueuedRound(tenant="t", cid="c", session_id="", started_at=1, deadline=2, caller_id="", caller_name="S"),
        ),
        ("settle", CallRef(tenant="t", cid="c")),
        ("mail", EmailRef(letter="l")),
    ],
)
def test_an_older_worker_finds_all_fields_in_their_types(job, payload):
    queued, known = json.loads(payload.model_dump_json()), frozen(job)
    assert queued["v"] == VERSION == 1, "a new version needs frozen payloads and a test of its own"
    assert known.keys() <= queued.keys()
    assert {name: type(queued[name]) for name in known} == {name: type(value) for name, value in known.items()}


def test_an_older_worker_refuses_a_started_call_and_tries_again():
    """It knows version 1 alone, and raises UnknownVersion for others: RQ then runs the job again, up to three times."""
    payload = started_round(read_payload(NOTIFY_JOB, frozen("notify")), Cause(), PushKind.LIVE_STARTED)
    queued = json.loads(payload.as_json())
    assert queued["v"] == STARTED_VERSION != VERSION
    assert RETRIED_AFTER_S[NOTIFY_JOB]
    read = read_payload(NOTIFY_JOB, queued)
    assert isinstance(read, StartedRound)
    assert (read.push, read.recipients) == (PushKind.LIVE_STARTED, payload.recipients)
