"""The difference between Redis's clock and Stream's: what is learned from events, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from bellhop.clock import Micros
from bellhop.domain.call import CALL_TTL_S
from bellhop.domain.clock_offset import FITS_US, MAX_US, ClockOffset, observe, observe_answer

S = 1_000_000
START = 1_800_000_000 * S
GIVEN_UP_US = 15 * S
"""How long Stream repeats an event."""

leads = st.integers(-MAX_US + 60 * S, MAX_US - 60 * S)
"""How far Redis's clock is ahead of Stream's."""
delays = st.integers(0, S)
pauses = st.integers(0, 100 * S)
late_by = st.integers(121 * S, MAX_US)


def arrive(known, ahead_us, events, **options):
    """Let events arrive, each given by the pause before it and by its delay; yield what is known after each."""
    stamp = START
    for pause_us, delay_us in events:
        stamp += pause_us
        known = observe(known, Micros(stamp), Micros(stamp + delay_us + ahead_us), **options)
        yield known


def far(ahead_us):
    """Whether the lead cannot be the delay of an event that was repeated, and is large enough to be applied."""
    return not -FITS_US <= ahead_us <= 2 * FITS_US + 120 * S


@given(leads, st.lists(st.tuples(pauses, delays), min_size=2))
def test_two_events_teach_clocks_that_are_far_apart(ahead_us, events):
    for known in list(arrive(ClockOffset(), ahead_us, events))[1:]:
        if far(ahead_us):
            assert 0 <= known.applied_us - ahead_us <= S


@given(leads, st.lists(st.tuples(st.integers(6 * S, 100 * S), delays), min_size=2))
def test_events_with_pauses_teach_any_lead_over_the_limit(ahead_us, events):
    for known in list(arrive(ClockOffset(), ahead_us, events))[1:]:
        if abs(ahead_us) > FITS_US + S:
            assert 0 <= known.applied_us - ahead_us <= S


@given(st.integers(-FITS_US, 0), st.lists(st.tuples(pauses, st.integers(0, GIVEN_UP_US)), min_size=1))
def test_a_small_lead_makes_no_event_seem_fresh(ahead_us, events):
    for (_, delay_us), known in zip(events, arrive(ClockOffset(), ahead_us, events), strict=True):
        assert known.applied_us <= ahead_us + delay_us or known.applied_us == 0


@given(leads, st.lists(st.tuples(st.integers(0, 50 * S), delays, st.none() | late_by), min_size=1, max_size=50))
def test_a_late_event_beside_fresh_ones_teaches_nothing(ahead_us, events):
    [*_, known] = arrive(ClockOffset(), ahead_us, [(0, 0), (10 * S, 0)])
    stamp = START + 10 * S
    for pause_us, delay_us, late_us in events:
        stamp += pause_us
        known = observe(known, Micros(stamp), Micros(stamp + delay_us + ahead_us))
        if late_us is not None:
            before, known = known, observe(known, Micros(stamp - late_us), Micros(stamp + ahead_us))
            assert known.applied_us == before.applied_us


@given(st.lists(st.tuples(pauses, late_by)))
def test_late_events_of_a_queue_teach_nothing(events):
    for known in arrive(ClockOffset(), 0, events, may_be_late=True):
        assert known.applied_us <= 0


@given(leads, leads, st.lists(st.tuples(pauses, delays), min_size=2))
def test_after_a_clock_was_set_the_second_event_teaches_it(before_us, after_us, events):
    [*_, known] = arrive(ClockOffset(), before_us, [(0, 0), (10 * S, 0)])
    # Redis's clock is set after two minutes without events; so it also seems that much time has passed.
    stamp = START + 200 * S
    for number, (pause_us, delay_us) in enumerate(events):
        stamp += pause_us
        known = observe(known, Micros(stamp), Micros(stamp + delay_us + after_us))
        if number and abs(after_us - before_us) > 200 * S and abs(after_us) > FITS_US + S:
            assert 0 <= known.applied_us - after_us <= S


@given(st.integers(-20 * MAX_US, 20 * MAX_US), st.integers(1, 5))
def test_one_wrong_stamp_teaches_nothing(stamp_us, times):
    [*_, known] = arrive(ClockOffset(), 0, [(0, 0), (10 * S, 0)])
    wrong = Micros(START + 11 * S + stamp_us)
    if abs(stamp_us) > MAX_US:
        for _ in range(times):
            assert observe(known, wrong, Micros(START + 11 * S)) == known
    elif abs(stamp_us) > FITS_US:
        assert observe(known, wrong, Micros(START + 11 * S)).applied_us == known.applied_us


@given(leads)
def test_stream_says_what_time_it_is(ahead_us):
    known = observe_answer(ClockOffset(), Micros(START), Micros(START + ahead_us))
    if abs(ahead_us) > FITS_US:
        assert known.applied_us == ahead_us
    assert observe_answer(known, Micros(START), Micros(START + ahead_us)) == known


def test_events_of_the_last_minute_count_more_than_streams_word():
    [*_, known] = arrive(ClockOffset(), 600 * S, [(0, 0), (S, 0)])
    now = Micros(START + 610 * S)
    assert observe_answer(known, now, now) == known
    later = Micros(now + 60 * S)
    assert observe_answer(known, later, later).applied_us == 0


def test_the_smallest_difference_of_the_last_minute_counts():
    assert [known.ahead_us for known in arrive(ClockOffset(), -10 * S, [(0, S), (S, 5), (S, 3 * S)])][-1] == 5 - 10 * S
    events = [(0, 0), (30 * S, S), (40 * S, S), (61 * S, S)]
    assert [known.ahead_us for known in arrive(ClockOffset(), -10 * S, events)] == [
        *(-10 * S, -10 * S, -10 * S),
        -9 * S,
    ]


def test_a_ring_that_is_posted_again_finds_its_call():
    assert MAX_US < CALL_TTL_S * S
