"""The circuit of a channel: closed while the provider answers, open only on evidence that it does not."""

from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.domain.outcomes import MEANING, NOTHING_LEFT, AttemptResult, Outcome
from worker.delivery.circuit_breaker import (
    FAILURES_TO_OPEN,
    FIRST_PROBE_S,
    LATELY_S,
    LONGEST_PROBE_S,
    NOT_SERVED,
    ONE_PERSONS_USERS,
    OPEN_S,
    REFUSALS_TO_OPEN,
    CircuitBreaker,
)

ASKED = sorted(set(Outcome) - NOTHING_LEFT)
REFUSED = Outcome.CREDENTIALS_REFUSED


def result(outcome):
    """The result of an attempt that the provider answered, or did not serve."""
    return AttemptResult(outcome, status=0 if outcome in NOT_SERVED else 200)


def after(*outcomes, now=100.0, users=("a", "b", "c")):
    """A circuit after these outcomes, which came for these users in turn."""
    circuit = CircuitBreaker()
    for number, outcome in enumerate(outcomes):
        circuit.record(result(outcome), users[number % len(users)], now)
    return circuit


@pytest.mark.parametrize("users", ["abc", "a"])
def test_three_refusals_in_a_row_open_the_circuit(users):
    assert not after(REFUSED, REFUSED, users=users).is_open
    circuit = after(REFUSED, REFUSED, REFUSED, users=users)
    assert circuit.refused
    assert 0 < circuit.admit(100.0, "a") <= FIRST_PROBE_S


def test_one_other_answer_between_refusals_keeps_it_closed():
    assert not after(REFUSED, REFUSED, Outcome.TOKEN_DEAD, REFUSED, REFUSED).is_open


@pytest.mark.parametrize("outcome", [Outcome.TOO_LARGE, Outcome.BAD_REQUEST, Outcome.DELAYED])
@pytest.mark.parametrize("before", [[REFUSED] * REFUSALS_TO_OPEN, [Outcome.UNAVAILABLE] * FAILURES_TO_OPEN])
def test_a_push_that_was_not_sent_leaves_it_open(before, outcome):
    circuit = after(*before)
    circuit.record(AttemptResult(outcome), "d", 100.0)
    assert circuit.admit(100.0, "d") > 0


def test_refusals_of_what_was_in_flight_do_not_lengthen_the_wait():
    assert after(*[REFUSED] * 100).admit(100.0, "a") <= FIRST_PROBE_S


def test_the_pause_grows_with_each_refused_try():
    circuit, now, pauses = after(*[REFUSED] * REFUSALS_TO_OPEN), 100.0, []
    for _ in range(8):
        pauses.append(wait_s := circuit.admit(now, "a"))
        now += wait_s
        assert circuit.admit(now, "a") == 0
        assert circuit.admit(now, "b") > 0, "one push at a time"
        circuit.record(result(REFUSED), "a", now + 0.1)
        now += 0.1
    assert pauses[0] == FIRST_PROBE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PROBE_S


@pytest.mark.parametrize("refused", ["a", "abc", "abcdefgh"])
def test_another_user_need_not_wait_for_refused_ones(refused):
    circuit, now = after(*[REFUSED] * 8, users=refused), 100.0
    for user in islice(cycle(refused), 8):
        now += circuit.admit(now, user)
        assert circuit.admit(now, user) == 0
        circuit.record(result(REFUSED), user, now)
    assert circuit.admit(now, "a") > 10
    assert circuit.admit(now, "ben") <= FIRST_PROBE_S
    assert circuit.admit(now + FIRST_PROBE_S, "ben") == 0
    circuit.record(result(Outcome.ACCEPTED), "ben", now + FIRST_PROBE_S)
    assert not circuit.is_open


def test_the_pause_for_all_grows_when_many_users_are_refused():
    circuit, now, tries = CircuitBreaker(), 100.0, []
    for number in range(10_000):
        now += 0.01
        if circuit.admit(now, f"user-{number}") == 0:
            circuit.record(result(REFUSED), f"user-{number}", now)
            tries.append(now)
    assert len(tries) <= REFUSALS_TO_OPEN + ONE_PERSONS_USERS + 100 / LONGEST_PROBE_S
    assert tries[-1] - tries[-2] > LONGEST_PROBE_S / 2


@pytest.mark.parametrize("outcome", sorted(NOT_SERVED))
def test_many_failures_in_a_row_open_it(outcome):
    assert after(*[outcome] * (FAILURES_TO_OPEN - 1)).admit(100.0, "a") == 0
    assert after(*[outcome] * FAILURES_TO_OPEN).admit(100.0, "a") > 0


def test_a_provider_that_failed_counts_as_failing_for_a_while():
    """Where few rings come, the pause after a failure is over long before the next attempt."""
    circuit = after(*[Outcome.UNSENT] * FAILURES_TO_OPEN, now=100.0)
    assert [circuit.fails(100.0 + later_s) for later_s in (0, 2 * FIRST_PROBE_S, LATELY_S, LATELY_S + 1)] == [
        *[True] * 3,
        False,
    ]
    circuit.record(result(Outcome.ACCEPTED), "a", 101.0)
    assert not circuit.fails(101.0)


def test_one_answer_between_failures_keeps_it_closed():
    most = [Outcome.UNKNOWN] * (FAILURES_TO_OPEN - 1)
    assert after(*most, Outcome.TOKEN_DEAD, *most).admit(100.0, "a") == 0


def test_all_pushes_of_one_broken_connection_are_one_failure():
    circuit, faults = CircuitBreaker(), [object() for _ in range(FAILURES_TO_OPEN)]
    for fault in faults[:-1]:
        for _ in range(50):
            circuit.record(AttemptResult(Outcome.UNKNOWN, fault=fault), "a", 100.0)
    assert not circuit.is_open
    assert circuit.record(AttemptResult(Outcome.UNKNOWN, fault=faults[-1]), "a", 100.0)


def test_one_push_tries_a_half_open_circuit():
    circuit = after(*[Outcome.UNAVAILABLE] * FAILURES_TO_OPEN)
    later = 100.0 + circuit.admit(100.0, "a")
    assert circuit.admit(later, "a") == 0
    assert circuit.admit(later, "b") > 0
    circuit.record(result(Outcome.ACCEPTED), "a", later + 0.1)
    assert circuit.admit(later + 0.1, "b") == 0


@given(st.lists(st.sampled_from(ASKED), max_size=60))
def test_an_accepted_push_closes_any_circuit(outcomes):
    assert after(*outcomes, Outcome.ACCEPTED).admit(100.0, "a") == 0


@given(st.lists(st.sampled_from(ASKED), max_size=60))
def test_it_never_stays_open_longer_than_the_longest_time(outcomes):
    assert after(*outcomes).admit(100.0, "a") <= LONGEST_PROBE_S


def test_every_failure_has_a_time_to_stay_open():
    assert {MEANING[outcome].action for outcome in NOT_SERVED} <= set(OPEN_S)
