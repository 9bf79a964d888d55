"""The stamp of a rejection that a phone reports is about its own ring alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bellhop.domain.call import CallState, RoundState, Stamp, Standing
from bellhop.domain.phone_report import BY_HAND, REJECTIONS, PhoneEvent, rejected_at
from bellhop.domain.rejections import rejection_stamps
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.domain.standing import standing

RING, DEADLINE = 1_000_000_000, 1_030_000_000


def test_the_words_of_the_reports_are_public():
    assert {*PhoneEvent} == {"rang", "declined", "busy", "answered_elsewhere", "dismissed", "not_shown"}
    assert REJECTIONS == {"declined": "decline", "busy": "busy"}


def standing_after(event, now, later_ring=None, started_at=RING, **stamps):
    """Where the user stands in the round from `started_at` on, after a report of the round RING."""
    reason = BY_HAND if event is PhoneEvent.DECLINED else REJECTIONS[event]
    at = rejected_at(now, RING, later_ring)
    fields = {history_field(name, PastStamp(at, "s-1")): at for name in rejection_stamps("ben", reason)}
    fields |= {name: at for name in rejection_stamps("ben", reason) if not name.startswith(Stamp.IN_WORDS)} | stamps
    rounds = [RoundState(RING, "s-1", DEADLINE, frozenset({"ben"}))]
    if later_ring:
        rounds.append(RoundState(later_ring, "s-1", later_ring + 30_000_000, frozenset({"ben"})))
    round_ = next(round_ for round_ in rounds if round_.started_at == started_at)
    return standing(CallState(fields, tuple(rounds)), round_, "ben", now)


@settings(max_examples=40)
@given(st.integers(RING - 5_000_000, DEADLINE - 1))
def test_a_decline_by_hand_is_never_a_time_out(now):
    """Not even close to the ring's end, and not if the clocks of Redis and Stream differ."""
    assert standing_after(PhoneEvent.DECLINED, now) is Standing.DECLINED
    assert standing_after(PhoneEvent.BUSY, now) is Standing.BUSY


@settings(max_examples=40)
@given(st.integers(RING, DEADLINE - 1), st.integers(RING, DEADLINE))
def test_an_answer_is_never_undone(now, accepted_at):
    assert standing_after(PhoneEvent.DECLINED, now, **{"a:ben": accepted_at}) is Standing.ANSWERED


@settings(max_examples=40)
@given(st.integers(RING + 1, DEADLINE - 1), st.integers(0, 29_000_000), st.sampled_from([*REJECTIONS]))
def test_a_later_ring_of_the_call_goes_on(later_ring, after_us, event):
    now = later_ring + after_us
    assert standing_after(event, now, later_ring, started_at=later_ring) is Standing.RINGING
