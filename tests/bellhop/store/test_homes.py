"""The home of each key, and where it is in a cluster."""

import inspect
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.round import Recipient
from bellhop.store import keys
from bellhop.store.email_scripts import new_email_id
from bellhop.store.homes import (
    ALONE,
    SLOTS,
    Home,
    Partition,
    home_of,
    partition_of,
    partitions,
    slot_of,
    without_tag,
)
from tests.factories import a_round

CALL, USER = Home("call", "acme:default:1"), Home("user", "acme:ann:b")

EMAIL = f"{0:032x}{new_email_id(a_round('ann'), Recipient(id='ann'))[32:]}"  # its first part is new each time


@pytest.mark.parametrize(
    ("key", "home"),
    [
        (keys.call_key("acme", "default:1"), CALL),
        (keys.trail_key("acme", "default:1"), CALL),
        (keys.round_key("acme", "default:1", 5), CALL),
        (keys.round_prefix("acme", "default:1"), CALL),
        (keys.rings_of_call_key("acme", "default:1", 7), CALL),
        (keys.outbox_key("backend", "acme", "default:1"), CALL),
        (keys.draining_key("backend", "acme", "default:1"), CALL),
        (keys.webhook_key("digest"), Home("call", "")),
        (keys.devices_key("acme", "ann:b"), USER),
        (keys.writes_key("acme", "ann:b", 7), USER),
        (keys.rings_to_key("acme", "ann:b", 7), USER),
        (keys.owner_key("acme", "key"), Home("token", "acme:key")),
        (keys.brake_key("apns", "com.example"), Home("app", "apns:com.example")),
        (keys.token_window_key("dying", "apns", "com.example", 7), Home("app", "apns:com.example")),
        (keys.email_key(EMAIL), Home("e-mail", EMAIL[32:])),
        (keys.email_key("0" * 32), Home("e-mail", "")),
        (keys.email_key(""), Home("e-mail", "")),
        (keys.open_email_key("pair"), Home("e-mail", "")),
        (keys.METRICS_KEY, Home("installation", "metrics")),
        *((key, Home("installation", "forgotten")) for key in (keys.FORGOTTEN, keys.FORGOTTEN_LIFTS, keys.ERASURES)),
        (keys.flushes_key("1"), Home("installation", "metrics")),
        (keys.AGENDA, Home("partition", "")),
        (keys.lease_key("w-1"), Home("partition", "")),
        (keys.inflight_key("rings", ""), Home("partition", "")),
        (keys.rq_job_key("ring-1"), Home("partition", "")),
        (keys.turns_key("rings"), Home("partition", "")),
        (keys.RQ_QUEUES, Home("partition", "")),
    ],
)
def test_a_key_tells_its_home(key, home):
    assert home_of(key) == home


def test_every_key_that_is_built_has_a_home():
    for _, function in inspect.getmembers(keys, inspect.isfunction):
        if function not in {keys.raw_rq_job_key, keys.start_of}:
            assert home_of(function(*("1" for _ in inspect.signature(function).parameters))).kind


def test_all_emails_to_a_user_have_one_home():
    """Also the keys that lead to them are there."""
    others = [a_round("ann", cid="default:2", caller_id="ben"), a_round("ann", started_at=5)]
    for other in others:
        id_ = new_email_id(other, Recipient(id="ann"))
        assert (len(id_), id_[32:]) == (40, EMAIL[32:])
        assert id_ != EMAIL
    assert new_email_id(a_round("eve"), Recipient(id="eve"))[32:] != EMAIL[32:]


def test_a_single_redis_keeps_the_names_of_its_keys():
    (only,) = ALONE
    assert only.key(keys.AGENDA) == "bellhop:agenda"
    assert partition_of(CALL, ALONE) is only


def test_a_partition_has_its_tag_in_each_key():
    partition = Partition("16.3")
    assert partition.key(keys.trail_key("acme", "default:1")) == "bellhop:{16.3}:trail:acme:default:1"
    assert partition.key(keys.rq_queue_key("bellhop-rings")) == "rq:{16.3}:queue:bellhop-rings"
    assert partition.key(keys.rq_job_key("")) == "rq:{16.3}:job:"


@given(st.sampled_from(["bellhop:trail:", "rq:job:", "bellhop:{", "bellhop:agenda"]), st.text(), st.integers(1, 100))
def test_the_tag_of_a_key_can_be_removed(start, end, count):
    key = start + end
    assert without_tag(partitions(count)[-1].key(key)) == key


def test_other_braces_stay_in_a_key():
    assert without_tag(keys.trail_key("acme", "default:{a}:1")) == keys.trail_key("acme", "default:{a}:1")


@pytest.mark.parametrize("count", [1, 16, 100])
def test_partitions_lie_evenly_in_the_slots(count):
    places = [slot_of(partition.tag) * count // SLOTS for partition in partitions(count)]
    assert places == list(range(count))


def test_calls_are_spread_and_stay_where_they_are():
    among = partitions(16)
    assert partition_of(CALL, among).tag == "16.20"
    spread = Counter(partition_of(Home("call", f"acme:default:{number}"), among) for number in range(1600))
    assert len(spread) == 16
    assert max(spread.values()) < 200


def test_the_slot_of_a_tag_is_that_of_redis():
    """The example of Redis's cluster specification."""
    assert slot_of("123456789") == 0x31C3
