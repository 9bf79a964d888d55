"""Pauses between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from bellhop.backoff import pause_s


def test_pauses_double_up_to_the_longest():
    assert [pause_s(attempt, 0.1, 1.0, (1.0, 1.0)) for attempt in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@given(st.integers(-1, 10**9))
def test_a_pause_keeps_within_its_jitter(attempt):
    assert 0.025 <= pause_s(attempt, 0.05, 1.0) <= 1.0
