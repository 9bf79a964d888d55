"""Which recipients still ring, decided from stamps. The Lua script must decide the same."""

import json
from dataclasses import replace
from operator import add

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from bellhop.domain import call as call_rules
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.outcomes import Outcome
from bellhop.domain.settlement import Settlement, settle
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.domain.standing import NEAR_US, standing
from bellhop.store import scripts
from bellhop.store.keys import call_key, round_key, round_prefix
from worker.delivery.fence import REFUSALS

START, DEADLINE, GRACE = 1_000_000, 31_000_000, 5_000_000
ROUND = RoundState(START, "s-1", DEADLINE, frozenset({"ben", "jane"}), callers=("sara", "eva"))
DURING = 2_000_000


def where(stamps: dict[str, int], now: int = DURING, grace_us: int = 0, user: str = "ben") -> Standing:
    return standing(CallState(stamps), ROUND, user, now, DEADLINE + grace_us)


def missed(mark: Stamp, session: str = "s-1", user: str = "ben") -> str:
    return missed_stamp(mark, session, user)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("a:ben", Standing.ANSWERED),
        ("b:ben", Standing.BUSY),
        ("t:ben", Standing.TIMED_OUT),
        (missed(Stamp.MISSED), Standing.MISSED),
        (missed(Stamp.MISSED_QUIETLY), Standing.MISSED_QUIETLY),
        ("x:sara", Standing.CANCELLED),
        ("x:eva", Standing.CANCELLED),
        ("ended", Standing.ENDED),
        ("ended:s-1", Standing.ENDED),
        ("k:ben", Standing.REMOVED),
        ("l:sara", Standing.CANCELLED),
    ],
)
def test_only_a_stamp_of_this_round_or_later_decides(mark, expected):
    assert where({mark: START}) is where({mark: DEADLINE * 9}) is expected
    assert where({mark: START - 1}) is Standing.RINGING


@pytest.mark.parametrize("mark", ["d:ben", "x:ben"])
def test_a_decline_counts_while_the_phone_could_ring(mark):
    assert where({mark: START}) is where({mark: DEADLINE - NEAR_US - 1}) is Standing.DECLINED
    assert where({mark: START - 1}) is where({mark: DEADLINE + NEAR_US + 1}) is Standing.RINGING
    assert where({mark: DEADLINE + NEAR_US + 1}, DEADLINE) is Standing.NO_ANSWER


def past(name: str, at: int, session: str = "s-1") -> dict[str, int]:
    return {history_field(name, PastStamp(at, session)): at}


CANCELLED_AT, LATER = 10 * START, 10 * START + 300_000
ENDINGS = [
    ("x:sara", Standing.CANCELLED),
    ("l:eva", Standing.CANCELLED),
    ("ended", Standing.ENDED),
    ("ended:s-1", Standing.ENDED),
    ("b:ben", Standing.BUSY),
    ("t:ben", Standing.TIMED_OUT),
    (missed(Stamp.MISSED), Standing.MISSED),
    ("k:ben", Standing.REMOVED),
]


@pytest.mark.parametrize(("ending", "expected"), ENDINGS)
@pytest.mark.parametrize("mark", ["d:ben", "x:ben"])
def test_a_decline_after_the_ring_has_ended_is_none(ending, expected, mark):
    assert where({ending: CANCELLED_AT, mark: LATER}) is expected
    # The caller cancels another ring later: what came first is still known.
    if not ending.startswith(Stamp.LEFT):  # the caller may have come back: the last time counts
        assert where(past(ending, CANCELLED_AT) | past(mark, LATER) | {ending: 20 * START, mark: LATER}) is expected


@pytest.mark.parametrize(("ending", "_"), [end for end in ENDINGS if end[0] != "t:ben"])
def test_the_first_decline_of_a_round_stands(ending, _):
    before = CANCELLED_AT - 300_000
    assert where({ending: CANCELLED_AT, "d:ben": before}) is Standing.DECLINED
    stamps = past("d:ben", before) | past("d:ben", LATER) | {ending: CANCELLED_AT, "d:ben": LATER, "x:ben": LATER}
    assert where(stamps) is Standing.DECLINED


@pytest.mark.parametrize(("after", "expected"), [(0, Standing.RINGING), (1, Standing.DECLINED)])
def test_what_a_phone_does_by_itself_is_no_decline(after, expected):
    assert where({"p:ben": CANCELLED_AT, "x:ben": CANCELLED_AT + after}) is expected


@pytest.mark.parametrize("apart", [-NEAR_US, 0, NEAR_US])
def test_a_decline_close_to_a_time_out_is_a_time_out(apart):
    assert where({"t:ben": CANCELLED_AT, "d:ben": CANCELLED_AT + apart}) is Standing.TIMED_OUT
    assert where({"d:ben": DEADLINE + apart}) is where({"x:ben": DEADLINE + apart}) is Standing.TIMED_OUT
    beyond = apart + (1 if apart > 0 else -1)
    if apart < 0:
        assert where({"t:ben": CANCELLED_AT, "d:ben": CANCELLED_AT + beyond}) is Standing.DECLINED
        assert where({"d:ben": DEADLINE + beyond}) is Standing.DECLINED
    in_words = {"d:ben": CANCELLED_AT - 1} | past("w:ben", CANCELLED_AT - 1)
    assert where({"t:ben": CANCELLED_AT, **in_words}) is Standing.DECLINED


def test_a_late_rejection_ends_no_later_ring():
    """The phone rejects the first ring after the second has begun: in its session, or within its first moment."""
    second = RoundState(CANCELLED_AT + 100_000, "s-2", DEADLINE * 2, frozenset({"ben"}), callers=("sara",))
    for mark in ("d:ben", "x:ben", "b:ben", "t:ben"):
        late = past(mark, LATER) | {mark: LATER, "x:sara": CANCELLED_AT}
        assert standing(CallState(late, (ROUND, second)), second, "ben", LATER) is Standing.RINGING
        assert standing(CallState(late, (second,)), second, "ben", LATER) is not Standing.RINGING, "of no other ring"
        same = replace(second, session_id="s-1")
        assert standing(CallState(late, (ROUND, same)), same, "ben", LATER) is Standing.RINGING
        real = past(mark, same.started_at + NEAR_US) | late
        assert standing(CallState(real, (ROUND, same)), same, "ben", LATER) is not Standing.RINGING


@pytest.mark.parametrize(("apart", "expected"), [(NEAR_US - 1, Standing.RINGING), (NEAR_US, Standing.DECLINED)])
def test_a_second_ring_is_declined_in_its_first_moment(apart, expected):
    """The user has declined the first ring. Shortly after that, another phone may still reject the first one."""
    second = RoundState(CANCELLED_AT + 100_000, "s-1", DEADLINE * 2, frozenset({"ben"}), callers=("sara",))
    again = second.started_at + 500_000
    first = past("d:ben", again - apart) | past("x:ben", again - apart)
    stamps = first | past("d:ben", again) | {"d:ben": again, "x:ben": again}
    assert standing(CallState(stamps, (ROUND, second)), second, "ben", LATER) is expected
    # A rejection from before the first ring does not tell when that one ended.
    before = past("x:ben", START - 1) | {"d:ben": again, "x:ben": again}
    assert standing(CallState(before, (ROUND, second)), second, "ben", LATER) is Standing.RINGING


def test_a_caller_whose_app_gave_up_was_not_answered():
    assert where({"x:sara": CANCELLED_AT, "t:sara": CANCELLED_AT}) is Standing.NO_ANSWER
    assert where({"x:sara": CANCELLED_AT, "t:sara": LATER}) is Standing.CANCELLED


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, Standing.CANCELLED),
        ({"a:jane": LATER}, Standing.RINGING),
        (past("j:jane", 1, "p-1"), Standing.RINGING),
        (past("j:jane", 1, "p-1") | past("l:jane", 2, "p-1"), Standing.CANCELLED),
        (past("j:jane", 1, "p-1") | past("l:jane", 2, "p-2"), Standing.RINGING),
        (past("j:sara", START, "p-8") | past("a:sara", START, ""), Standing.RINGING),
        ({"a:sara": START} | past("j:sara", START, "p-9"), Standing.CANCELLED),
    ],
)
def test_a_caller_who_leaves_an_empty_call_hangs_up(others, expected):
    assert where(past("l:sara", CANCELLED_AT, "p-9") | others) is expected


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
T0 = 1_800_000_000_000_000
near = st.integers(T0 - 2, T0 + 2)
moments = st.builds(
    lambda base, after, off: base + after + off,
    near,
    st.sampled_from([0, 1, NEAR_US, DEADLINE, DEADLINE + NEAR_US, DEADLINE + 2 * NEAR_US]),
    st.sampled_from([-NEAR_US, 0, 0]),
)
kept = st.lists(
    st.tuples(
        missed_marks | marks | st.sampled_from([letter + user for letter in "pwkjl" for user in ["ben", "", "r:1"]]),
        moments,
        st.sampled_from(["s-1", "s:2", "", "Zoë"]),
    ),
    max_size=12,
)


@settings(max_examples=600)
@given(
    stamps=st.dictionaries(missed_marks, near, max_size=9) | st.dictionaries(marks, near | moments, max_size=20),
    history=kept,
    start=near,
    session=st.sampled_from(["s-1", "s:2", ""]),
    callers=st.sets(st.sampled_from(USERS), max_size=2),
    lasts=st.sampled_from([1, DEADLINE]),
    over=st.booleans(),
    others=st.dictionaries(
        near,
        st.tuples(st.sampled_from(["s-1", "s:2", ""]), st.sets(st.sampled_from(USERS), min_size=1), st.booleans()),
        max_size=3,
    ),
)
def test_the_script_in_redis_decides_the_same(
    redis_server, stamps, history, start, session, callers, lasts, over, others
):
    round_ = RoundState(start, session, start + lasts, frozenset(USERS), tuple(callers))
    rounds = [RoundState(at, of, at + lasts, frozenset(rung), (), flag) for at, (of, rung, flag) in others.items()]
    stamps = stamps | {history_field(name, PastStamp(at, of)): at for name, at, of in history}
    words = words_of_the_script(redis_server, stamps, rounds, round_, over)
    others_ = [one for one in rounds if one.started_at != start]
    call = CallState(stamps, (*others_, round_))
    now = start + lasts if over else start
    expected = [standing(call, round_, user, now) for user in USERS]
    if over:  # the script does not decide NO_ANSWER by the time: its callers compare the deadline
        gave_up = [standing(call, round_, user, start) is Standing.NO_ANSWER for user in USERS]
        decided = zip(expected, gave_up, strict=True)
        expected = ["ringing" if word is Standing.NO_ANSWER and not was else word for word, was in decided]
    assert words == expected


@settings(max_examples=300)
@given(
    rung_before=st.sampled_from([1, NEAR_US, 3 * NEAR_US]),
    rejections=st.lists(
        st.tuples(
            st.sampled_from(["d:ben", "x:ben", "t:ben"]),
            st.builds(add, st.sampled_from([-3 * NEAR_US, -NEAR_US, 0, NEAR_US]), st.integers(-1, 1)),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_the_script_decides_the_same_of_a_second_ring(redis_server, rung_before, rejections):
    earlier = RoundState(T0 - rung_before, "s-1", T0 + DEADLINE, frozenset(USERS))
    round_ = RoundState(T0, "s-1", T0 + DEADLINE, frozenset(USERS))
    stamps = {history_field(name, PastStamp(T0 + after, "s-1")): T0 + after for name, after in rejections}
    expected = [standing(CallState(stamps, (earlier, round_)), round_, user, T0) for user in USERS]
    assert words_of_the_script(redis_server, stamps, [earlier], round_, over=False) == expected


def words_of_the_script(redis_server, stamps, others, round_, over):
    """Return the standing that the script decides for each user."""
    source = scripts.source("lib/standing") + (
        "\nlocal words = standings(KEYS[1], cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), ARGV[3])"
        "\nfor i, word in ipairs(words) do words[i] = word or 'ringing' end return words"
    )
    with redis.Redis.from_url(redis_server.url) as client:
        client.delete("call", *client.keys("round:*"))
        if stamps:
            client.hset("call", mapping=stamps)
        for one in (*others, round_):
            client.hset("call", f"r:{one.started_at}", one.session_id)
        for one in others:
            client.hset(f"round:{one.started_at}", mapping={f"u:{user}": "" for user in one.recipients})
            if one.ringless:
                client.hset(f"round:{one.started_at}", "ringless", "1")
        known = {
            "start": round_.started_at,
            "session": round_.session_id,
            "callers": sorted(round_.callers),
            "deadline": round_.deadline,
            "over": over,
        }
        words = client.eval(source, 1, "call", json.dumps(known), json.dumps(USERS), "round:")
    return [word.decode() for word in words]


def test_the_keys_of_different_calls_and_rounds_never_meet():
    names = [("t", "default:a", 5), ("t", "default:a:5", 5), ("t", "default:a", 55), ("u", "default:a", 5)]
    assert len({round_key(*name) for name in names}) == 4
    assert round_key("t", "default:a", 5) == round_prefix("t", "default:a") + "5"
    assert call_key("t", "default:a") != call_key("u", "default:a")
