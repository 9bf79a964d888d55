"""Payloads of jobs: RQ and this version can read them, and an unknown version is refused with a sentence."""

import json
from datetime import UTC, datetime

import pytest
from rq.serializers import JSONSerializer
from rq.utils import str_to_date

from bellhop import clock
from bellhop.domain.round import Recipient
from bellhop.queue import job_payloads, names
from bellhop.queue.job_payloads import CallRef, EmailRef, job, read_payload
from tests.factories import a_queued_round

ROUND = a_queued_round(
    started_at=1_800_000_000_000_001,
    caller_name='Sara "S" \U0001f600',
    recipients=(Recipient(id="ben", name="Ben", email="ben@example.com"),),
)


def test_a_payload_comes_out_as_it_went_in():
    fields = job("ring-1", names.RING_JOB, ROUND)
    name, instance, (payload,), kwargs = JSONSerializer.loads(fields["data"].encode())
    assert (name, instance, kwargs) == (names.RING_JOB, None, {})
    assert read_payload(name, payload) == ROUND


@pytest.mark.parametrize(
    "changed", [{}, {"still_rings": True, "missed_due": 7}, {"recipients": ()}, {"custom": {"a": "é"}}]
)
def test_both_ways_to_write_a_payload_agree(changed):
    other = ROUND.model_copy(update=changed)
    assert ROUND.as_json(**changed) == other.as_json() == other.model_dump_json()


@pytest.mark.parametrize(
    "payload", [CallRef(tenant="t", cid="c", queued_at=5), EmailRef(letter="l"), Recipient(id="ben")]
)
def test_every_payload_is_written_as_pydantic_does(payload):
    assert payload.as_json() == payload.model_dump_json()


def test_a_job_has_user_names_only_in_its_data():
    fields = job("ring-1", names.RING_JOB, ROUND)
    assert "data" in fields
    assert not any("ben" in value.lower() or "sara" in value.lower() for key, value in fields.items() if key != "data")
    assert all(isinstance(value, str) for value in fields.values())


@pytest.mark.parametrize("name", job_payloads.PAYLOADS)
def test_every_job_has_a_queue(name):
    fields = job("1", name)
    assert fields["queue"] in names.QUEUES
    assert "data" not in fields


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_a_payload_of_another_version_is_refused_with_a_sentence(version):
    with pytest.raises(ValueError, match=r"worker knows version 1: upgrade it$"):
        read_payload(names.RING_JOB, ROUND.model_dump() | {"v": version})


def test_new_fields_are_ignored_and_missing_ones_have_defaults():
    payload = {"v": 1, "tenant": "t", "cid": "c", "new": 1}
    assert read_payload(names.SETTLE_JOB, payload) == CallRef(tenant="t", cid="c")
    least = {"session_id": "", "started_at": 1, "deadline": 2, "caller_id": "", "caller_name": "S"}
    assert read_payload(names.RING_JOB, payload | least).recipients == ()


@pytest.mark.parametrize("broken", [{"started_at": -1}, {"deadline": "soon"}, {"recipients": [{}]}, {"cid": None}])
def test_an_invalid_payload_is_refused(broken):
    with pytest.raises(ValueError, match="validation error"):
        read_payload(names.RING_JOB, json.loads(ROUND.model_dump_json()) | broken)


def test_moments_are_written_as_rq_reads_them():
    text = clock.iso(1_800_000_000_000_001)
    assert text == "2027-01-15T08:00:00.000001Z"
    assert str_to_date(text) == datetime(2027, 1, 15, 8, 0, 0, 1, UTC)
