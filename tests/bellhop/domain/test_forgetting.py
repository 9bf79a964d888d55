"""What a call with many rounds forgets, and what it must keep."""

from dataclasses import replace

import pytest

from bellhop.domain.call import CallState, RoundState
from bellhop.domain.forgetting import AGE_US, KEPT_ROUNDS, MOST_ROUNDS, MOST_TRACES, forgettable
from bellhop.domain.stamp_history import PastStamp, history_field

S = 1_000_000
NOW = 100_000 * S
LONG_AGO = NOW - AGE_US - 3600 * S


def a_closed_round(number: int, **changes) -> RoundState:
    start = LONG_AGO + number * 20 * S
    users = frozenset({"ben", "jane"})
    return replace(RoundState(start, f"s-{number}", start + 10 * S, users, settled=users), **changes)


ROUNDS = tuple(a_closed_round(number) for number in range(MOST_ROUNDS + 1))
STARTS = tuple(round_.started_at for round_ in ROUNDS)
FIRST_KEPT = STARTS[-KEPT_ROUNDS]


def forgotten(rounds=ROUNDS, open_rounds=(), now=NOW, **stamps):
    return forgettable(CallState(stamps, tuple(rounds)), open_rounds, now)


def history(name: str, at: int, session: str) -> str:
    return history_field(name, PastStamp(at, session))


def with_history(*stamps: tuple[str, int, str]) -> set[str]:
    """Return which of these stamps the call forgets: name, time, session."""
    names = {history(*stamp): stamp for stamp in stamps}
    found = forgettable(CallState({name: stamp[1] for name, stamp in names.items()}, ROUNDS), (), NOW)
    return {names[field] for field in found.fields}


def test_the_latest_rounds_stay():
    assert forgotten().rounds == STARTS[:-KEPT_ROUNDS]
    assert forgotten().until == STARTS[-KEPT_ROUNDS - 1]
    assert forgotten(ROUNDS[1:]) is None


@pytest.mark.parametrize("changes", [{"settled": frozenset({"ben"})}, {"deadline": NOW - AGE_US}])
def test_an_open_or_young_round_stays_and_all_later_ones(changes):
    def with_such_a_round(number):
        return (*ROUNDS[:number], replace(ROUNDS[number], **changes), *ROUNDS[number + 1 :])

    assert forgotten(with_such_a_round(10)).rounds == STARTS[:10]
    assert forgotten(with_such_a_round(9)) is None, "too few to be worth it"


def test_a_round_with_an_attempt_under_way_stays():
    assert forgotten(open_rounds={STARTS[0]}) is None


def test_each_round_leaves_traces():
    eva = frozenset({"eva"})
    rounds = (a_closed_round(-1, ringless=True, session_id="é", recipients=eva, settled=eva), *ROUNDS)
    traces = forgotten(rounds).traces
    missed_at = rounds[0].started_at
    assert {name: at for name, at in traces.items() if at == missed_at} == dict.fromkeys(
        ("s:é", "m:2:é:eva", "b:eva"), missed_at
    )
    assert traces["a:ben"] == traces["r:4:s-10:ben"] == traces["s:s-10"] == STARTS[10]


def test_large_rounds_are_forgotten_in_several_steps():
    users = frozenset(f"user-{number}" for number in range(MOST_TRACES // 10))
    rounds = [replace(round_, recipients=users, settled=users) for round_ in (*ROUNDS, a_closed_round(50))]
    assert len(forgotten(rounds).rounds) == 10


def test_rejections_of_forgotten_rounds_are_forgotten():
    old, last, kept = ("x:ben", STARTS[0] + 1, "s-15"), ("x:ben", STARTS[1], "s-15"), ("x:ben", FIRST_KEPT, "s-15")
    elsewhere, explained = ("x:ben", STARTS[0], "s-0"), ("d:ben", STARTS[1], "s-15")
    assert with_history(old, last, kept, elsewhere, explained) == {old, elsewhere, explained}


def test_who_is_in_the_call_is_known():
    joined, left = ("j:ben", STARTS[0], "p-1"), ("l:ben", STARTS[1], "p-1")
    in_the_call, last_left = ("j:ben", STARTS[0], "p-2"), ("l:ben", STARTS[2], "p-3")
    late, left_late = ("j:jane", STARTS[0], "p-4"), ("l:jane", FIRST_KEPT, "p-4")
    assert with_history(joined, left, in_the_call, last_left, late, left_late) == {joined, left}


def test_latest_stamps_of_users_stay_and_those_of_sessions_go():
    stamps = {"x:ben": STARTS[0], "a:ben": STARTS[0], "n:s-0:ben": STARTS[0], "ended": STARTS[0], "forgotten": 1}
    of_sessions = {"m:s-0:ben": STARTS[0], "q:s-0:ben": STARTS[0], "ended:s-0": STARTS[0], "asked:s-0": STARTS[0]}
    assert set(forgotten(**stamps, **of_sessions, **{"ended:s-9": FIRST_KEPT}).fields) == set(of_sessions)
