"""What a process knows of Redis's clock, after readings that were answered late."""

import time

from hypothesis import given
from hypothesis import strategies as st

from bellhop.clock import Micros, from_nanoseconds, seconds
from bellhop.store.redis_clock import RedisClock

ROUNDED_US = 2
AHEAD_US = 5_000_000
"""How far the monotonic clock is ahead of Redis's."""

delays_us = st.integers(0, 500_000)


def read(clock, there_us, back_us, ahead_us=AHEAD_US):
    """Read Redis's clock by a command that travels so long, and its answer so long."""
    sent_us = from_nanoseconds(time.monotonic_ns())
    read_us = sent_us + there_us
    clock.note(seconds(Micros(sent_us)), seconds(Micros(read_us + back_us)), Micros(read_us - ahead_us))


def errors_us(clock, ahead_us=AHEAD_US):
    """Between which two values the clock is ahead of Redis's."""
    before_us = from_nanoseconds(time.monotonic_ns())
    now = clock.now()
    after_us = from_nanoseconds(time.monotonic_ns())
    return now - (after_us - ahead_us), now - (before_us - ahead_us)


@given(st.lists(st.tuples(delays_us, delays_us), min_size=1, max_size=5))
def test_it_is_not_behind_redis(readings):
    # Otherwise, an event would seem to arrive before it was sent, and Stream's clock to be ahead.
    clock = RedisClock()
    for there_us, back_us in readings:
        read(clock, there_us, back_us)
        least_us, greatest_us = errors_us(clock)
        assert greatest_us >= -ROUNDED_US
    assert least_us <= min(there_us for there_us, _ in readings) + ROUNDED_US


@given(st.integers(-3_600_000_000, 3_600_000_000), delays_us, delays_us)
def test_it_follows_a_clock_that_was_set(moved_us, there_us, back_us):
    clock = RedisClock()
    read(clock, 0, 0)
    read(clock, there_us, back_us, AHEAD_US + moved_us)
    least_us, greatest_us = errors_us(clock, AHEAD_US + moved_us)
    assert greatest_us >= -back_us - ROUNDED_US
    assert least_us <= there_us + ROUNDED_US
    if abs(moved_us) > there_us + back_us:
        assert greatest_us >= -ROUNDED_US


def test_before_a_reading_it_is_the_clock_of_this_machine():
    before_us = from_nanoseconds(time.time_ns())
    now = RedisClock().now()
    assert before_us <= now <= from_nanoseconds(time.time_ns())
