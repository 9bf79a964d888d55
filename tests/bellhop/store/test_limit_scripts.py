"""Rings are counted once, up to a bound, in a number of commands that does not depend on how many there were."""

import pytest

from bellhop.clock import Micros
from bellhop.store.keys import QUESTION_BUDGET
from bellhop.store.limit_scripts import count_for_call, count_for_callee, count_for_caller, spend_budget
from tests.factories import a_round

MINUTE_US = 60_000_000
START = Micros(29_000_000 * MINUTE_US)


def ring(number=0, people=2):
    at = Micros(START + number)
    return a_round(*(f"user-{n}" for n in range(people)), started_at=at, deadline=Micros(at + 30_000_000))


@pytest.fixture
def run(store):
    async def run(command):
        return (await store.script(*command)).decode()

    return run


async def test_a_ring_of_many_people_counts_as_many(run):
    assert [await run(count_for_caller(ring(number), 5)) for number in range(4)] == ["ok", "ok", "ok", "rings"]
    assert await run(count_for_caller(ring(0), 5)) == "ok", "a repeat of a ring that was counted"
    assert await run(count_for_caller(ring(MINUTE_US), 5)) == "ok", "the next minute"


async def test_a_callee_counts_each_ring_once(run):
    answers = [await run(count_for_callee(ring(number, people=9), "ben", 2)) for number in (0, 0, 1, 2)]
    assert answers == ["ok", "ok", "ok", "rings"]


async def test_a_call_has_a_number_of_open_rings(run):
    def count(number, now):
        return count_for_call(ring(number), 100, 2, now)

    assert [await run(count(number, START)) for number in range(3)] == ["ok", "ok", "open"]
    assert await run(count(3, START + 31_000_000)) == "ok", "the first two are over"


async def test_a_budget_is_whole_again_after_a_clock_was_set_back(store, redis_client):
    assert [await store.script(*spend_budget(QUESTION_BUDGET, 0.01)) for _ in range(2)] == [1, 0]
    at_s = float(redis_client.hget(QUESTION_BUDGET, "at"))
    redis_client.hset(QUESTION_BUDGET, "at", at_s + 3600)  # as if Redis's clock were an hour back now
    assert [await store.script(*spend_budget(QUESTION_BUDGET, 0.01)) for _ in range(2)] == [1, 0]


async def test_what_counts_a_ring_costs_the_same_after_many(store, redis_client, run):
    async def commands(number):
        await run(count_for_call(ring(number), 10**6, 10**6, START))
        redis_client.config_resetstat()
        await run(count_for_call(ring(number + 1), 10**6, 10**6, START))
        stats = redis_client.info("commandstats")
        return sum(found["calls"] for name, found in stats.items() if "config" not in name and "info" not in name)

    few = await commands(0)
    for number in range(10, 510):
        await run(count_for_call(ring(number), 10**6, 10**6, START))
    assert await commands(1_000) == few
    assert all(redis_client.ttl(key) > 0 for key in redis_client.keys("bellhop:rings-*"))
