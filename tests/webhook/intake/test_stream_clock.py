"""Web processes share by Redis what they learn about Stream's clock. They do not read it for each event."""

from functools import partial

import pytest

from bellhop.clock import Micros
from bellhop.store import clock_differences
from bellhop.store.blocking_client import run_script
from bellhop.store.homes import ALONE, partition_with, partitions
from bellhop.store.keys import call_key
from webhook.intake.stream_clock import StreamClocks
from webhook.intake_redis import IntakeRedis

S = 1_000_000
NOW = Micros(1_800_000_000 * S)


@pytest.fixture
def processes(redis_client):
    """The same Stream app in two web processes."""
    redis = IntakeRedis(redis_client, partial(run_script, redis_client))
    return [StreamClocks(redis, "default").beside(call_key("default", "default:1")) for _ in range(2)]


def arrive(clock, after_s, ahead_s, late_s=0.0, **options):
    """Let an event arrive; returns how far Redis counts as ahead, in seconds."""
    arrived = Micros(NOW + round(after_s * S))
    stamp = Micros(arrived - round((ahead_s + late_s) * S))
    time = clock.at_arrival(stamp, arrived, may_be_late=options.get("may_be_late", False))
    assert time.now + time.redis_ahead_us == arrived
    assert time.now >= stamp
    return time.redis_ahead_us / S


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_the_second_event_may_reach_another_process(processes, redis_client, ahead_s):
    first, second = processes
    assert arrive(second, 0, 0) == 0
    arrive(first, 100, ahead_s)
    assert arrive(second, 100.2, ahead_s) == ahead_s
    assert arrive(first, 100.4, ahead_s) == ahead_s
    known = clock_differences.read_answer(redis_client.execute_command(*clock_differences.read("default", *ALONE)))
    assert known.applied_us == ahead_s * S


def test_events_teach_the_clock_of_their_partition(redis_client):
    """Each server of a cluster has a clock of its own. A single Redis can hold the keys of all partitions."""
    redis = IntakeRedis(redis_client, partial(run_script, redis_client))
    redis.partitions = among = partitions(16)
    clocks = StreamClocks(redis, "default")
    first, second, third = (call_key("default", f"default:{number}") for number in (1, 2, 3))
    places = {partition_with(call, among) for call in (first, second, third)}
    assert len(places) == 3
    assert [arrive(clocks.beside(first), after_s, 600) for after_s in (0, 100)] == [0, 600]
    assert arrive(clocks.beside(second), 101, 600) == 600, "it begins with what another one has learned"
    assert arrive(clocks.beside(third), 102, 0) == 0
    fresh = StreamClocks(redis, "other")
    assert [arrive(fresh.beside(call), after_s, 600) for call, after_s in ((first, 0), (second, 100))] == [0, 600]
    assert arrive(clocks.beside(first), 103, 600) == 600
    reads = {place: redis_client.execute_command(*clock_differences.read("default", place)) for place in among}
    learned = {place: clock_differences.read_answer(answer) for place, answer in reads.items()}
    assert {place for place, known in learned.items() if known.fitted_at} == places
    assert [known.applied_us for known in learned.values()].count(600 * S) == 2
    assert clock_differences.latest(reads.values()).applied_us == 0


def test_a_late_event_beside_another_process_teaches_nothing(processes):
    first, second = processes
    assert arrive(first, 0, 600) == 0
    assert arrive(first, 1, 600) == 600
    for after_s in (2, 2.1, 2.2):
        assert arrive(second, after_s, 600, late_s=300) == 600


def test_events_that_fit_do_not_read_redis_each_time(processes, redis_client):
    clock, _ = processes
    arrive(clock, 0, 0)
    before = redis_client.info("stats")["total_commands_processed"]
    for number in range(100):
        arrive(clock, number / 100, 0)
    assert redis_client.info("stats")["total_commands_processed"] - before < 10


def test_an_event_without_a_stamp_comes_at_the_known_time(processes):
    clock, _ = processes
    arrive(clock, 0, 600)
    arrive(clock, 1, 600)
    time = clock.at_arrival(None, Micros(NOW + 2 * S), may_be_late=False)
    assert time == (NOW - 598 * S, 600 * S)


def test_a_stamp_far_ahead_is_not_believed(processes):
    clock, _ = processes
    time = clock.at_arrival(Micros(NOW + 7200 * S), NOW, may_be_late=False)
    assert time == (NOW, 0)
