"""An answer that is not about a token costs no ring: neither that of the push that met it, nor a healthy one beside it.

Such answers come once, or to a share of all pushes. They come always only if our credentials are really revoked.
"""

import asyncio
import json
import time
from contextlib import suppress
from itertools import count, pairwise

import pytest

from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from tests.factories import OpenFence, a_push, an_iphone
from tests.waiting import loop_clock
from worker.delivery.attempt import deliver
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.quick_repeats import MAX_QUICK_REPEATS
from worker.providers.apns import apns_answers
from worker.providers.fcm import fcm_answers
from worker.providers.http2.http2_stream import Http2Response

ABOUT_A_TOKEN = {Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_APNS_KEY}
RINGS = 200
A_RING_EVERY_S = 0.002


def apples():
    """Every answer of Apple that accepts nothing and is not about a token."""
    for (status, reason), outcome in apns_answers.OUTCOMES.items():
        if outcome not in ABOUT_A_TOKEN | {Outcome.ACCEPTED}:
            response = Http2Response(status, json.dumps({"reason": reason}).encode())
            yield apns_answers.read_answer(response, "id", Seconds(0))


def googles():
    """Every answer of Google that is not about a token."""
    for status in (400, 401, 403, 404, 405, 408, 413, 429, 499, 500, 503):
        yield fcm_answers.answer(status, b"{}", None, Seconds(0))


ANSWERS = {(answer.outcome, answer.documented_wait_s): answer for answer in [*apples(), *googles()]}
"""Answers that have the same result are tried once."""


class Faulty:
    """A provider that gives one answer to every `every`-th request, and accepts the others."""

    def __init__(self, answer, every, now_s=time.monotonic):
        self.answer, self.every, self.requests, self.numbers = answer, every, [], count(1)
        self.now_s, self.ticks = now_s, []

    async def prepare(self, environment, within_s): ...

    async def send(self, push, timeout_s, start_s):
        self.requests.append(time.monotonic())
        self.ticks.append(self.now_s())
        number = next(self.numbers)
        await asyncio.sleep(0.01)
        return AttemptResult(Outcome.ACCEPTED, 200) if number % self.every != self.every // 2 else self.answer


async def ring_all(sender, rings=RINGS, every_s=A_RING_EVERY_S, now_s=time.monotonic):
    """Ring many phones; returns the outcome of each ring, and how long it took by the clock `now_s`."""
    channel = ProviderChannel(sender, "the channel")

    async def ring(number):
        began = now_s()
        push = a_push(an_iphone(f"user-{number}", token=f"{number:064x}"))
        delivered = await deliver(push, {(Provider.APNS, "calls"): channel}, OpenFence())
        return delivered.outcome, now_s() - began

    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(rings):
            tasks.append(group.create_task(ring(number)))
            await asyncio.sleep(every_s)  # after each ring: they must not come at once after a pause of this process
    return [task.result() for task in tasks]


@pytest.mark.parametrize("every", [RINGS, 100], ids=["once", "1 percent"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=lambda answer: f"{answer.status} {answer.reason}")
async def test_an_answer_now_and_then_costs_no_ring(answer, every):
    async with loop_clock() as now_s:
        done = await ring_all(Faulty(answer, every), now_s=now_s)
    assert {outcome for outcome, _ in done} == {Outcome.ACCEPTED}
    took = sorted(took_s for _, took_s in done)
    assert took[len(took) * 99 // 100] < 1.0


@pytest.mark.parametrize("outcome", sorted(ABOUT_A_TOKEN - {Outcome.BAD_TOKEN}))
async def test_an_answer_about_a_token_costs_that_token_alone(outcome):
    done = await ring_all(Faulty(AttemptResult(outcome, 410), 100))
    assert [got for got, _ in done].count(outcome) == RINGS // 100
    assert [got for got, _ in done].count(Outcome.ACCEPTED) == RINGS - RINGS // 100


@pytest.mark.parametrize("status", [429, 503])
async def test_a_google_that_serves_nobody_gets_the_pause_it_asks_for(status):
    sender = Faulty(fcm_answers.answer(status, b"{}", None, Seconds(0)), 1)
    with suppress(TimeoutError):
        await asyncio.wait_for(ring_all(sender, RINGS, 0.01), 6)
    assert len(sender.requests) <= RINGS + MAX_QUICK_REPEATS


async def test_the_pause_that_an_answer_names_is_obeyed():
    done = await ring_all(Faulty(fcm_answers.answer(429, b"{}", "2", Seconds(0)), RINGS))
    assert max(took_s for _, took_s in done) >= 2.0


@pytest.mark.parametrize("rings", [1, 100], ids=["one phone", "many phones"])
async def test_revoked_credentials_cost_few_requests(rings):
    async with loop_clock() as now_s:
        sender = Faulty(AttemptResult(Outcome.CREDENTIALS_REFUSED, 403, "InvalidProviderToken"), 1, now_s)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ring_all(sender, rings, 0.05), 6)
    third = sender.requests[2]
    probes = [at for at in sender.requests if at > third + 0.5]
    first_probe = len(sender.requests) - len(probes)
    assert first_probe <= 6, "what was sent before the third answer came"
    assert sender.ticks[first_probe] - sender.ticks[2] < 1.5
    assert all(later - before >= 0.95 for before, later in pairwise(probes)), "at most one request a second"
    assert len(probes) <= (3 if rings == 1 else 6), "the pause does not grow for users who were never refused"
