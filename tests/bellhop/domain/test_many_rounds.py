"""A call with many rounds, stamps or users: a decision does not read all of them."""

import pytest

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.domain.standing import standing
from tests.work import growth

S = 1_000_000


def round_(number, *users, session="first"):
    start = Micros((1 + number * 60) * S)
    return RoundState(start, session, Micros(start + 30 * S), frozenset(users), ("sara",))


def stamped(at, name, session="first"):
    return {name: at, history_field(name, PastStamp(Micros(at), session)): at}


def rejected_again_and_again(count, by="ben", session="first"):
    rounds, stamps = [], {}
    for number in range(count):
        rounds.append(round_(number, "ben", session=session.format(number)))
        for name in (Stamp.DECLINED, Stamp.REJECTED):
            stamps |= stamped(rounds[-1].started_at + 5 * S, name + by, rounds[-1].session_id)
    return CallState(stamps, tuple(rounds))


def left_one_after_the_other(count):
    users = [f"user-{number}" for number in range(count)]
    stamps = {}
    for number, user in enumerate([*users, "sara"]):
        stamps |= stamped(2 * S + number, Stamp.LEFT + user, f"participant-{number}")
    return CallState(stamps, (round_(0, *users),))


def somebody_else_each_time(count):
    return CallState({}, tuple(round_(number, f"user-{number}") for number in range(count)))


CALLS = {
    "one user declines": rejected_again_and_again,
    "one user declines, in another session each time": lambda count: rejected_again_and_again(count, session="s-{}"),
    "the caller cancels": lambda count: rejected_again_and_again(count, by="sara"),
    "the caller cancels, in another session each time": lambda count: rejected_again_and_again(
        count, by="sara", session="s-{}"
    ),
    "everybody leaves": left_one_after_the_other,
    "somebody else is rung": somebody_else_each_time,
}


def decide_all(call):
    call = CallState(call.stamps, call.rounds)
    return [standing(call, round_, user, Micros(-1)) for round_ in call.rounds for user in round_.recipients]


@pytest.mark.parametrize("call_of", CALLS.values(), ids=CALLS)
def test_a_decision_costs_the_same_in_a_longer_call(call_of):
    assert growth(decide_all, call_of(50), call_of(200)) < 4.5
