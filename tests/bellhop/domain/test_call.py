"""Which recipients still ring, decided from stamps. The Lua script must decide the same."""

import json
from dataclasses import replace

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from bellhop.domain import call as call_rules
from bellhop.domain.call import CallState, RoundState, Settlement, Stamp, Standing, missed_stamp, settle, standing
from bellhop.domain.outcomes import Outcome
from bellhop.store import scripts
from bellhop.store.keys import call_key, round_key, round_prefix
from worker.delivery.fence import REFUSALS

START, DEADLINE, GRACE = 1_000_000, 31_000_000, 5_000_000
ROUND = RoundState(START, "s-1", DEADLINE, frozenset({"ben", "jane"}), callers=("sara", "eva"))
DURING = 2_000_000


def where(stamps: dict[str, int], now: int = DURING, grace_us: int = 0, user: str = "ben") -> Standing:
    return standing(CallState(stamps), ROUND, user, now, grace_us)


def missed(mark: Stamp, session: str = "s-1", user: str = "ben") -> str:
    return missed_stamp(mark, session, user)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("a:ben", Standing.ANSWERED),
        ("d:ben", Standing.DECLINED),
        ("b:ben", Standing.BUSY),
        ("t:ben", Standing.TIMED_OUT),
        ("x:ben", Standing.DECLINED),
        (missed(Stamp.MISSED), Standing.MISSED),
        (missed(Stamp.MISSED_QUIETLY), Standing.MISSED_QUIETLY),
        ("x:sara", Standing.CANCELLED),
        ("x:eva", Standing.CANCELLED),
        ("ended", Standing.ENDED),
        ("ended:s-1", Standing.ENDED),
    ],
)
def test_only_a_stamp_of_this_round_or_later_decides(mark, expected):
    assert where({mark: START}) is where({mark: DEADLINE * 9}) is expected
    assert where({mark: START - 1}) is Standing.RINGING


@pytest.mark.parametrize(
    "mark",
    ["a:jane", "d:jane", "x:jane", missed(Stamp.MISSED, "s-2"), missed(Stamp.MISSED, user="jane"), "ended:s-2"],
)
def test_other_users_and_other_sessions_end_no_ring(mark):
    assert where({mark: DURING}) is Standing.RINGING


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ({"a:ben": 3, "d:ben": 5}, Standing.ANSWERED),
        ({"a:ben": 3, "x:sara": 4, "ended": 5}, Standing.ANSWERED),
        ({"d:ben": 3, missed(Stamp.MISSED): 4, "x:sara": 5}, Standing.DECLINED),
        ({"t:ben": 3, missed(Stamp.MISSED_QUIETLY): 4}, Standing.MISSED_QUIETLY),
        ({"t:ben": 3, missed(Stamp.MISSED): 4}, Standing.TIMED_OUT),
        ({"x:ben": 3, "b:ben": 3, "x:sara": 4}, Standing.BUSY),
        ({"x:ben": 3, missed(Stamp.MISSED): 4}, Standing.MISSED),
        ({"x:ben": 3, "a:ben": 4}, Standing.ANSWERED),
        ({"x:ben": 3, "x:sara": 4, "ended": 5}, Standing.DECLINED),
        ({"x:sara": 3, "ended": 4}, Standing.CANCELLED),
    ],
)
def test_of_several_stamps_the_most_telling_decides(stamps, expected):
    assert where({mark: at * START for mark, at in stamps.items()}) is expected


def test_a_round_ends_at_its_deadline_and_settles_after_grace():
    assert where({}, DEADLINE - 1) is Standing.RINGING
    assert where({}, DEADLINE) is Standing.NO_ANSWER
    assert where({}, DEADLINE + GRACE - 1, GRACE) is Standing.RINGING
    assert where({}, DEADLINE + GRACE, GRACE) is Standing.NO_ANSWER


AGAIN = RoundState(START + 28_000_000, "s-1", START + 58_000_000, frozenset({"ben"}), callers=("sara",))


@pytest.mark.parametrize(
    ("stamps", "rounds", "expected"),
    [
        ({missed(Stamp.MISSED): DEADLINE}, (ROUND, AGAIN), Standing.RINGING),
        ({missed(Stamp.MISSED_QUIETLY): DEADLINE}, (ROUND, AGAIN), Standing.RINGING),
        ({missed(Stamp.MISSED): DEADLINE}, (AGAIN,), Standing.MISSED),
        ({missed(Stamp.MISSED): DEADLINE}, (replace(ROUND, recipients=frozenset({"jane"})), AGAIN), Standing.MISSED),
        ({missed(Stamp.MISSED): DEADLINE}, (replace(ROUND, session_id="s-0"), AGAIN), Standing.MISSED),
        ({missed(Stamp.MISSED): DEADLINE}, (replace(ROUND, ringless=True), AGAIN), Standing.MISSED),
        ({missed(Stamp.MISSED): AGAIN.deadline}, (ROUND, AGAIN), Standing.MISSED),
        ({missed(Stamp.MISSED_QUIETLY): DEADLINE, "x:sara": DEADLINE + 1}, (ROUND, AGAIN), Standing.MISSED_QUIETLY),
        ({missed(Stamp.MISSED): DEADLINE, "b:ben": DEADLINE + 1}, (ROUND, AGAIN), Standing.BUSY),
    ],
)
def test_a_call_missed_of_an_earlier_ring_ends_no_ring(stamps, rounds, expected):
    assert standing(CallState(stamps, rounds), AGAIN, "ben", DEADLINE + 2) is expected


def test_after_the_deadline_any_call_missed_counts():
    call = CallState({missed(Stamp.MISSED_QUIETLY): DEADLINE}, (ROUND, AGAIN))
    assert [one.standing for one in settle(call, AGAIN.deadline + GRACE - 1, GRACE) if one.started_at > START] == []
    (last,) = (one for one in settle(call, AGAIN.deadline + GRACE, GRACE) if one.started_at > START)
    assert (last.standing, last.notice) == (Standing.MISSED_QUIETLY, False)


def test_a_rejection_settles_when_its_reason_came_or_cannot_come():
    round_ = RoundState(START, "s-1", DEADLINE, frozenset({"ben"}), callers=("sara",))
    hung_up = {"x:ben": DURING, "x:sara": DURING + 1}

    def found(now: int, **more: int) -> list[tuple[Standing, bool]]:
        return [(one.standing, one.notice) for one in settle(CallState(hung_up | more, (round_,)), now, GRACE)]

    assert found(DURING + 2) == []
    assert found(DURING + 2, **{"d:ben": DURING}) == [(Standing.DECLINED, False)]
    assert found(DURING + 2, **{"t:ben": DURING}) == [(Standing.TIMED_OUT, True)]
    assert found(DEADLINE + GRACE) == [(Standing.DECLINED, False)]


def test_settling_finds_final_and_unrecorded_recipients():
    round_ = RoundState(START, "s-1", DEADLINE, frozenset({"ana", "ben", "jane"}), settled=frozenset({"ben"}))
    call = CallState({"d:jane": DURING, "a:ben": DURING}, (round_,))
    assert list(settle(call, DURING, GRACE)) == [Settlement(START, "jane", Standing.DECLINED, notice=False)]
    assert list(settle(call, DEADLINE + GRACE, GRACE)) == [
        Settlement(START, "ana", Standing.NO_ANSWER, notice=True),
        Settlement(START, "jane", Standing.DECLINED, notice=False),
    ]


def test_ringless_rounds_settle_first_then_the_oldest():
    starts = {5: False, 7: True, 3: False}
    rounds = tuple(RoundState(start, "", 0, frozenset({"ben"}), ringless=flag) for start, flag in starts.items())
    assert [one.started_at for one in settle(CallState(rounds=rounds), 10, 0)] == [7, 3, 5]


@pytest.mark.parametrize("place", list(Standing))
def test_a_notice_is_for_whom_no_answer_and_no_wish_forbids_it(place):
    told = {"busy", "timed_out", "missed", "cancelled", "ended", "no_answer"}
    assert (place in call_rules.NOTICE_DUE) is (place.value in told)


def test_a_notice_that_is_a_day_late_is_not_given():
    call = CallState(rounds=(RoundState(START, "s-1", DEADLINE, frozenset({"ben"})),))
    last = DEADLINE + call_rules.NOTICE_MAX_AGE_US
    assert [(one.standing, one.notice) for one in settle(call, last, 0)] == [(Standing.NO_ANSWER, True)]
    assert [(one.standing, one.notice) for one in settle(call, last + 1, 0)] == [(Standing.STALE, False)]
    declined = CallState({"d:ben": DURING}, call.rounds)
    assert [one.standing for one in settle(declined, last + 1, 0)] == [Standing.DECLINED]


@pytest.mark.parametrize(("late_by", "expected"), [(0, Standing.NO_ANSWER), (1, Standing.STALE)])
def test_an_event_after_its_call_was_forgotten_makes_no_notice(late_by, expected):
    taken_at = START + call_rules.TAKEN_LATE_US + late_by
    call = CallState(rounds=(RoundState(START, "s-1", DEADLINE, frozenset({"ben"}), taken_at=taken_at),))
    assert [one.standing for one in settle(call, taken_at, 0)] == [expected]


@pytest.mark.parametrize(
    ("ring_ms", "seconds"),
    [(None, 30), (0, 30), (1, 5), (4_999, 5), (5_000, 5), (45_000, 45), (180_000, 180), (86_400_000, 180)],
)
def test_a_deadline_stays_inside_what_stream_allows(ring_ms, seconds):
    assert call_rules.ring_deadline(START, ring_ms, 30) == START + seconds * 1_000_000


def test_a_stamp_far_in_the_future_or_absent_is_now():
    now = 10**15
    assert call_rules.clamp_stamp(None, now) == call_rules.clamp_stamp(now + 60_000_001, now) == now
    assert call_rules.clamp_stamp(now + 60_000_000, now) == now + 60_000_000
    assert call_rules.clamp_stamp(5, now) == 5
    assert call_rules.clamp_stamp(-5, now) == 0


def test_every_standing_that_stops_a_ring_has_its_outcome():
    assert set(REFUSALS) - {"go"} >= set(Standing) - {Standing.RINGING, Standing.NO_ANSWER, Standing.STALE}
    assert REFUSALS["go"] is None
    assert all(isinstance(outcome, Outcome) for word, outcome in REFUSALS.items() if word != "go")


# The twin in Lua

USERS = ["ben", "a:ben", "s-1:ben", "", "jane\n", "Zoë", "r:1"]
missed_marks = st.sampled_from(
    [
        missed_stamp(mark, session, user)
        for mark in (Stamp.MISSED, Stamp.MISSED_QUIETLY)
        for session in ("s-1", "s:2", "")
        for user in USERS
    ]
)
marks = missed_marks | st.sampled_from(
    [
        *(mark + user for mark in ["a:", "d:", "b:", "t:", "x:"] for user in USERS),
        *("ended", "ended:s-1", "ended:s:2", "ended:"),
    ]
)
near = st.integers(1_800_000_000_000_000 - 2, 1_800_000_000_000_000 + 2)


@settings(max_examples=300)
@given(
    stamps=st.dictionaries(missed_marks, near, max_size=9) | st.dictionaries(marks, near, max_size=20),
    start=near,
    session=st.sampled_from(["s-1", "s:2", ""]),
    callers=st.sets(st.sampled_from(USERS), max_size=2),
    lasts=st.sampled_from([1, DEADLINE]),
    others=st.dictionaries(
        near,
        st.tuples(st.sampled_from(["s-1", "s:2", ""]), st.sets(st.sampled_from(USERS), min_size=1), st.booleans()),
        max_size=3,
    ),
)
def test_the_script_in_redis_decides_the_same(redis_server, stamps, start, session, callers, lasts, others):
    source = scripts.source("lib/standing") + (
        "\nlocal words = standings(KEYS[1], tonumber(ARGV[1]), ARGV[2], cjson.decode(ARGV[3]), cjson.decode(ARGV[4]),"
        " tonumber(ARGV[5]), ARGV[6])"
        "\nfor i, word in ipairs(words) do words[i] = word or 'ringing' end return words"
    )
    round_ = RoundState(start, session, start + lasts, frozenset(USERS), tuple(callers))
    rounds = [RoundState(at, of, at + lasts, frozenset(rung), (), flag) for at, (of, rung, flag) in others.items()]
    with redis.Redis.from_url(redis_server.url) as client:
        client.delete("call", *client.keys("round:*"))
        if stamps:
            client.hset("call", mapping=stamps)
        for one in rounds:
            client.hset("call", f"r:{one.started_at}", one.session_id)
            client.hset(f"round:{one.started_at}", mapping={f"u:{user}": "" for user in one.recipients})
            if one.ringless:
                client.hset(f"round:{one.started_at}", "ringless", "1")
        args = [start, session, json.dumps(sorted(callers)), json.dumps(USERS), round_.deadline, "round:"]
        words = client.eval(source, 1, "call", *args)
    call = CallState(stamps, (*rounds, round_))
    assert [word.decode() for word in words] == [standing(call, round_, user, start) for user in USERS]


def test_the_keys_of_different_calls_and_rounds_never_meet():
    names = [("t", "default:a", 5), ("t", "default:a:5", 5), ("t", "default:a", 55), ("u", "default:a", 5)]
    assert len({round_key(*name) for name in names}) == 4
    assert round_key("t", "default:a", 5) == round_prefix("t", "default:a") + "5"
    assert call_key("t", "default:a") != call_key("u", "default:a")
