"""Who still rings, decided from stamps; and that the script in Redis decides the same."""

import json

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.delivery.gate import REFUSALS
from worker.domain import calls
from worker.domain.calls import CallState, Mark, RoundState, Settlement, Standing, missed_mark, settle, standing
from worker.domain.outcome import Outcome
from worker.storage import scripts

START, DEADLINE, GRACE = 1_000_000, 31_000_000, 5_000_000
ROUND = RoundState(START, "s-1", DEADLINE, frozenset({"ben", "jane"}), callers=("sara", "eva"))
DURING = 2_000_000


def where(stamps: dict[str, int], now: int = DURING, grace_us: int = 0, user: str = "ben") -> Standing:
    return standing(CallState(stamps), ROUND, user, now, grace_us)


def missed(mark: Mark, session: str = "s-1", user: str = "ben") -> str:
    return missed_mark(mark, session, user)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("a:ben", Standing.ANSWERED),
        ("d:ben", Standing.DECLINED),
        ("b:ben", Standing.BUSY),
        ("t:ben", Standing.TIMED_OUT),
        (missed(Mark.MISSED), Standing.MISSED),
        (missed(Mark.MISSED_QUIETLY), Standing.MISSED_QUIETLY),
        ("x:sara", Standing.CANCELLED),
        ("x:eva", Standing.CANCELLED),
        ("ended", Standing.ENDED),
        ("ended:s-1", Standing.ENDED),
    ],
)
def test_a_stamp_of_this_round_or_later_decides_and_an_older_one_does_not(mark, expected):
    assert where({mark: START}) is where({mark: DEADLINE * 9}) is expected
    assert where({mark: START - 1}) is Standing.RINGING


@pytest.mark.parametrize(
    "mark",
    ["a:jane", "d:jane", "x:ben", "x:jane", missed(Mark.MISSED, "s-2"), missed(Mark.MISSED, user="jane"), "ended:s-2"],
)
def test_what_others_do_and_what_belongs_to_another_session_ends_nobodys_ring(mark):
    assert where({mark: DURING}) is Standing.RINGING


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ({"a:ben": 3, "d:ben": 5}, Standing.ANSWERED),
        ({"a:ben": 3, "x:sara": 4, "ended": 5}, Standing.ANSWERED),
        ({"d:ben": 3, missed(Mark.MISSED): 4, "x:sara": 5}, Standing.DECLINED),
        ({"t:ben": 3, missed(Mark.MISSED_QUIETLY): 4}, Standing.MISSED_QUIETLY),
        ({"t:ben": 3, missed(Mark.MISSED): 4}, Standing.TIMED_OUT),
        ({"x:sara": 3, "ended": 4}, Standing.CANCELLED),
    ],
)
def test_of_several_stamps_the_most_telling_decides(stamps, expected):
    assert where({mark: at * START for mark, at in stamps.items()}) is expected


def test_a_round_is_over_at_its_deadline_and_settled_after_the_grace():
    assert where({}, DEADLINE - 1) is Standing.RINGING
    assert where({}, DEADLINE) is Standing.NO_ANSWER
    assert where({}, DEADLINE + GRACE - 1, GRACE) is Standing.RINGING
    assert where({}, DEADLINE + GRACE, GRACE) is Standing.NO_ANSWER


def test_settling_finds_those_who_are_final_and_not_yet_recorded():
    round_ = RoundState(START, "s-1", DEADLINE, frozenset({"ana", "ben", "jane"}), settled=frozenset({"ben"}))
    call = CallState({"d:jane": DURING, "a:ben": DURING}, (round_,))
    assert list(settle(call, DURING, GRACE)) == [Settlement(START, "jane", Standing.DECLINED, notice=False)]
    assert list(settle(call, DEADLINE + GRACE, GRACE)) == [
        Settlement(START, "ana", Standing.NO_ANSWER, notice=True),
        Settlement(START, "jane", Standing.DECLINED, notice=False),
    ]


def test_the_oldest_round_is_settled_first_but_after_those_known_from_their_call_missed():
    starts = {5: False, 7: True, 3: False}
    rounds = tuple(RoundState(start, "", 0, frozenset({"ben"}), ringless=flag) for start, flag in starts.items())
    assert [one.started_at for one in settle(CallState(rounds=rounds), 10, 0)] == [7, 3, 5]


@pytest.mark.parametrize("place", list(Standing))
def test_a_notice_is_for_whom_no_answer_and_no_wish_forbids_it(place):
    told = {"busy", "timed_out", "missed", "cancelled", "ended", "no_answer"}
    assert (place in calls.NOTICE_DUE) is (place.value in told)


def test_a_notice_that_is_a_day_late_is_not_given():
    call = CallState(rounds=(RoundState(START, "s-1", DEADLINE, frozenset({"ben"})),))
    last = DEADLINE + calls.NOTICE_MAX_AGE_US
    assert [(one.standing, one.notice) for one in settle(call, last, 0)] == [(Standing.NO_ANSWER, True)]
    assert [(one.standing, one.notice) for one in settle(call, last + 1, 0)] == [(Standing.STALE, False)]
    declined = CallState({"d:ben": DURING}, call.rounds)
    assert [one.standing for one in settle(declined, last + 1, 0)] == [Standing.DECLINED]


@pytest.mark.parametrize(("late_by", "expected"), [(0, Standing.NO_ANSWER), (1, Standing.STALE)])
def test_no_notice_is_given_of_an_event_that_came_after_its_call_was_forgotten(late_by, expected):
    taken_at = START + calls.TAKEN_LATE_US + late_by
    call = CallState(rounds=(RoundState(START, "s-1", DEADLINE, frozenset({"ben"}), taken_at=taken_at),))
    assert [one.standing for one in settle(call, taken_at, 0)] == [expected]


@pytest.mark.parametrize(
    ("ring_ms", "seconds"),
    [(None, 30), (0, 30), (1, 5), (4_999, 5), (5_000, 5), (45_000, 45), (180_000, 180), (86_400_000, 180)],
)
def test_a_deadline_stays_inside_what_stream_allows(ring_ms, seconds):
    assert calls.ring_deadline(START, ring_ms, 30) == START + seconds * 1_000_000


def test_a_stamp_far_in_the_future_or_absent_is_now():
    now = 10**15
    assert calls.sane_stamp(None, now) == calls.sane_stamp(now + 60_000_001, now) == now
    assert calls.sane_stamp(now + 60_000_000, now) == now + 60_000_000
    assert calls.sane_stamp(5, now) == 5
    assert calls.sane_stamp(-5, now) == 0


def test_every_standing_that_stops_a_ring_has_its_outcome():
    assert set(REFUSALS) - {"go"} >= set(Standing) - {Standing.RINGING, Standing.NO_ANSWER, Standing.STALE}
    assert REFUSALS["go"] is None
    assert all(isinstance(outcome, Outcome) for word, outcome in REFUSALS.items() if word != "go")


# The twin in Lua

USERS = ["ben", "a:ben", "s-1:ben", "", "jane\n", "Zoë", "r:1"]
marks = st.sampled_from(
    [
        *(mark + user for mark in ["a:", "d:", "b:", "t:", "x:"] for user in USERS),
        *(
            missed_mark(mark, session, user)
            for mark in (Mark.MISSED, Mark.MISSED_QUIETLY)
            for session in ("s-1", "s:2", "")
            for user in USERS
        ),
        *("ended", "ended:s-1", "ended:s:2", "ended:"),
    ]
)
near = st.integers(1_800_000_000_000_000 - 2, 1_800_000_000_000_000 + 2)


@settings(max_examples=300)
@given(
    stamps=st.dictionaries(marks, near, max_size=20),
    start=near,
    session=st.sampled_from(["s-1", "s:2", ""]),
    callers=st.sets(st.sampled_from(USERS), max_size=2),
)
def test_the_script_in_redis_decides_the_same(redis_server, stamps, start, session, callers):
    source = scripts.source("standing") + (
        "\nlocal words = standings(KEYS[1], tonumber(ARGV[1]), ARGV[2], cjson.decode(ARGV[3]), cjson.decode(ARGV[4]))"
        "\nfor i, word in ipairs(words) do words[i] = word or 'ringing' end return words"
    )
    round_ = RoundState(start, session, start + DEADLINE, frozenset(USERS), tuple(callers))
    with redis.Redis.from_url(redis_server.url) as client:
        client.delete("call")
        if stamps:
            client.hset("call", mapping=stamps)
        words = client.eval(source, 1, "call", start, session, json.dumps(sorted(callers)), json.dumps(USERS))
    assert [word.decode() for word in words] == [standing(CallState(stamps), round_, user, start) for user in USERS]


def test_the_keys_of_different_calls_and_rounds_never_meet():
    names = [("t", "default:a", 5), ("t", "default:a:5", 5), ("t", "default:a", 55), ("u", "default:a", 5)]
    assert len({calls.round_key(*name) for name in names}) == 4
    assert calls.round_key("t", "default:a", 5) == calls.round_prefix("t", "default:a") + "5"
    assert calls.call_key("t", "default:a") != calls.call_key("u", "default:a")
