"""The circuit of a channel: closed while the provider answers, open while it does not."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import MEANING, NOTHING_LEFT, Action, AttemptResult, Outcome
from tests.factories import a_push, an_iphone
from worker.delivery.provider_channel import FAILURES_TO_OPEN, NOT_SERVED, OPEN_S, CircuitBreaker, ProviderChannel

ASKED = sorted(set(Outcome) - NOTHING_LEFT)


def ring(environment=Environment.PRODUCTION):
    return a_push(an_iphone(environment=environment))


def after(*outcomes, now=100.0):
    circuit = CircuitBreaker()
    for outcome in outcomes:
        circuit.record_outcome(outcome, now)
    return circuit


def test_refused_credentials_open_the_circuit_once():
    circuit = CircuitBreaker()
    assert circuit.record_outcome(Outcome.CREDENTIALS_REFUSED, 100.0)
    assert not circuit.record_outcome(Outcome.CREDENTIALS_REFUSED, 100.1)
    assert circuit.wait_s(101.0) > 0


@pytest.mark.parametrize("outcome", sorted(NOT_SERVED))
def test_many_failures_in_a_row_open_it(outcome):
    assert after(*[outcome] * (FAILURES_TO_OPEN - 1)).wait_s(100.0) == 0
    assert after(*[outcome] * FAILURES_TO_OPEN).wait_s(100.0) > 0


def test_one_answer_between_failures_keeps_it_closed():
    most = [Outcome.UNKNOWN] * (FAILURES_TO_OPEN - 1)
    assert after(*most, Outcome.TOKEN_DEAD, *most).wait_s(100.0) == 0


def test_one_push_tries_a_half_open_circuit():
    circuit = after(*[Outcome.UNAVAILABLE] * FAILURES_TO_OPEN)
    later = 100.0 + OPEN_S[Action.RETRY_LATER]
    assert circuit.wait_s(later) == 0
    assert circuit.wait_s(later) > 0
    circuit.record_outcome(Outcome.ACCEPTED, later + 0.1)
    assert circuit.wait_s(later + 0.1) == 0


@given(st.lists(st.sampled_from(ASKED), max_size=60))
def test_an_accepted_push_closes_any_circuit(outcomes):
    assert after(*outcomes, Outcome.ACCEPTED).wait_s(100.0) == 0


@given(st.lists(st.sampled_from(ASKED), max_size=60))
def test_it_never_stays_open_longer_than_the_longest_time(outcomes):
    assert after(*outcomes).wait_s(100.0) <= max(OPEN_S.values())


def test_every_failure_has_a_time_to_stay_open():
    assert {MEANING[outcome].action for outcome in NOT_SERVED} <= set(OPEN_S)


async def test_an_open_circuit_sends_nothing():
    class Refusing:
        attempts = 0

        async def send(self, push, timeout_s, start_s):
            self.attempts += 1
            await asyncio.sleep(0)
            return AttemptResult(Outcome.CREDENTIALS_REFUSED, 403, "InvalidProviderToken")

    sender = Refusing()
    channel = ProviderChannel(sender, "apns com.example")
    assert (await channel.attempt(ring(), 1, 1)).outcome is Outcome.CREDENTIALS_REFUSED
    result = await channel.attempt(ring(), 1, 1)
    assert result.outcome is Outcome.CIRCUIT_OPEN
    assert 0 < result.retry_after_s <= OPEN_S[Action.OPEN_CIRCUIT]
    assert sender.attempts == 1


class Restricted:
    """A key of Apple that is valid for production only."""

    async def send(self, push, timeout_s, start_s):
        refused = push.device.environment is Environment.SANDBOX
        return AttemptResult(Outcome.CREDENTIALS_REFUSED if refused else Outcome.ACCEPTED)

    async def close(self): ...


async def test_each_environment_has_a_circuit_of_its_own():
    """Any user can register a phone of the sandbox, and a token that production does not know is tried there."""
    channel = ProviderChannel(Restricted(), "apns calls")
    rings = [ring(environment) for environment in (Environment.SANDBOX, Environment.PRODUCTION, Environment.SANDBOX)]
    outcomes = [(await channel.attempt(push, 1, 1)).outcome for push in rings]
    assert outcomes == [Outcome.CREDENTIALS_REFUSED, Outcome.ACCEPTED, Outcome.CIRCUIT_OPEN]
    assert channel.blocked
