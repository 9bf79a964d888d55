"""Missed-call notices without a call.missed: when the ring ended, and how long they wait."""

import pytest

from bellhop.domain.call import CallState, RoundState, Standing
from bellhop.domain.derived_notice import ended_at, is_derived, waits_until, was_asked
from bellhop.domain.settlement import Settlement
from bellhop.domain.stamp_history import PastStamp, history_field

S = 1_000_000
START, GRACE_US = 100 * S, 5 * S
ROUND = RoundState(START, "s-1", START + 30 * S, frozenset({"ben"}), callers=("sara",))


def a_call(**stamps):
    return CallState({name.replace("_", ":"): at for name, at in stamps.items()}, (ROUND,))


def settlement(standing, *, notice=True):
    return Settlement(START, "ben", standing, notice)


def test_a_notice_is_derived_without_a_call_missed():
    cancelled = settlement(Standing.CANCELLED)
    assert is_derived(a_call(x_sara=START + S), ROUND, cancelled)
    missed = CallState({"m:s-1:ben": START + S, "x:sara": START + S}, (ROUND,))
    assert not is_derived(missed, ROUND, cancelled)
    assert not is_derived(a_call(), ROUND, settlement(Standing.ANSWERED, notice=False))


@pytest.mark.parametrize(
    ("stamps", "at"),
    [
        ({}, START + 35 * S),
        ({"x_sara": START + 3 * S}, START + 3 * S),
        ({"l_sara": START + 3 * S}, START + 3 * S),
        ({"x_sara": START + 3 * S, "ended": START + 4 * S}, START + 3 * S),
        ({"b_ben": START + 2 * S, "x_sara": START - S}, START + 2 * S),
    ],
)
def test_a_ring_ended_with_the_first_stamp_that_ends_it(stamps, at):
    assert ended_at(a_call(**stamps), ROUND, "ben", GRACE_US) == at


@pytest.mark.parametrize(("asked_at", "asked"), [(START + 2 * S, False), (START + 3 * S, True), (START + 9 * S, True)])
def test_a_question_counts_if_it_was_asked_after_the_end(asked_at, asked):
    call = CallState({"asked:s-1": asked_at, "x:sara": START + 3 * S}, (ROUND,))
    assert was_asked(call, ROUND, "ben", GRACE_US) is asked


@pytest.mark.parametrize(
    ("stamp", "after_s", "waits"),
    [
        ("x_sara", 0.1, True),
        ("l_sara", 0.1, True),
        ("x_sara", 1.5, False),
        ("x_sara", -0.2, True),
        ("x_sara", -5, False),
    ],
)
def test_a_cancel_waits_for_a_call_missed(stamp, after_s, waits):
    cancelled_at = START + 3 * S
    now = cancelled_at + round(after_s * S)
    until = waits_until(a_call(**{stamp: cancelled_at}), ROUND, settlement(Standing.CANCELLED), now)
    assert until == (cancelled_at + 1_500_000 if waits else 0)


def test_only_a_cancel_waits():
    for standing in (Standing.NO_ANSWER, Standing.ENDED, Standing.BUSY):
        assert waits_until(a_call(x_sara=START), ROUND, settlement(standing), START) == 0


def test_a_caller_who_joins_again_has_not_ended_the_ring():
    """The caller's app lost its connection during the ring: one participant left, and another one came."""
    joined_again = CallState(
        {
            history_field("l:sara", PastStamp(START + S, "p-1")): START + S,
            history_field("j:sara", PastStamp(START, "p-1")): START,
            history_field("j:sara", PastStamp(START + S, "p-2")): START + S,
            "asked:s-1": START + 2 * S,
            "x:sara": START + 9 * S,
        },
        (ROUND,),
    )
    assert ended_at(joined_again, ROUND, "ben", GRACE_US) == START + 9 * S
    assert not was_asked(joined_again, ROUND, "ben", GRACE_US)
    now = START + 9 * S + 100
    assert waits_until(joined_again, ROUND, settlement(Standing.CANCELLED), now) == START + 9 * S + 1_500_000
