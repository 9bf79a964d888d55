"""A counter of rings may be on another server of a cluster than the call."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bellhop.clock import Micros
from bellhop.queue.job_payloads import RING_JOB
from bellhop.store.homes import ALONE, partitions
from tests.factories import a_round
from webhook.intake.effects import Effects, RoundWork
from webhook.intake.ring_limits import RingBounds, RingLimits


class CountersAway:
    def __init__(self, among):
        self.partitions = among

    def run_together(self, *commands):
        raise RedisConnectionError("the connection was lost")


def refusal(limits):
    return limits.refusal(Effects(work=RoundWork(RING_JOB, a_round("ben"))), Micros(1))


@pytest.fixture
def busy(monkeypatch):
    """Each caller has rung so often that Redis counts."""
    monkeypatch.setattr("webhook.intake.ring_limits.BusyTable.note", lambda *_: True)


def limits_on(among):
    return RingLimits(CountersAway(among), RingBounds(members=9, per_caller=9, per_call=9, open_rounds=9))


@pytest.mark.usefixtures("busy")
def test_on_a_cluster_a_ring_goes_on_without_its_counter():
    assert refusal(limits_on(partitions(16))) is None


@pytest.mark.usefixtures("busy")
def test_on_a_single_redis_the_webhook_is_not_taken():
    with pytest.raises(RedisConnectionError):
        refusal(limits_on(ALONE))
