"""Webhooks that come again and again within a minute."""

import pytest

from bellhop.clock import MINUTE_US
from webhook.intake import frequent_repeats
from webhook.intake.frequent_repeats import FrequentRepeats

ALREADY = {"status": "already"}


@pytest.fixture
def repeats():
    return FrequentRepeats(3)


def test_the_answer_is_remembered_after_so_many_repeats(repeats):
    for expected in (None, None, ALREADY, ALREADY):
        repeats.note("a", ALREADY, 5)
        assert repeats.answer_of("a", 6) == expected
    assert repeats.answer_of("b", 6) is None


def test_each_minute_counts_for_itself(repeats):
    for _ in range(3):
        repeats.note("a", ALREADY, MINUTE_US - 1)
    assert repeats.answer_of("a", MINUTE_US) is None
    repeats.note("a", ALREADY, MINUTE_US)
    assert repeats.answer_of("a", MINUTE_US) is None


def test_the_number_of_webhooks_is_limited(repeats, monkeypatch):
    monkeypatch.setattr(frequent_repeats, "MOST_REMEMBERED", 2)
    for name in "abc":
        for _ in range(3):
            repeats.note(name, ALREADY, 1)
    assert [repeats.answer_of(name, 1) for name in "abc"] == [ALREADY, ALREADY, None]
