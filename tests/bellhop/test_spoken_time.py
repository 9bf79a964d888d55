"""Times as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bellhop.spoken_time import read_time_words

NOW = datetime(2026, 7, 24, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("2026-07-24T10:00:00Z", "2026-07-24T10:00:00"),
        ("2026-07-24t10:00:00.5+02:00", "2026-07-24T08:00:00.500"),
        ("2026-07-24 10:00", "2026-07-24T10:00:00"),
        ("2026-07-24", "2026-07-24T00:00:00"),
        ("2h", "2026-07-24T10:30:00"),
        ("90 min ago", "2026-07-24T11:00:00"),
        ("3d", "2026-07-21T12:30:00"),
        ("45s", "2026-07-24T12:29:15"),
        ("yesterday 15:10", "2026-07-23T15:10:00"),
        ("Yesterday", "2026-07-23T00:00:00"),
        ("today 09:05:30", "2026-07-24T09:05:30"),
        ("9:05", "2026-07-24T09:05:00"),
        ("15:10", "2026-07-23T15:10:00"),
        ("0001-01-01", "1970-01-01T00:00:00"),
        ("9999-12-31T23:59:59-12:00", "2255-06-05T23:47:34.740992"),
    ],
)
def test_what_a_time_means(words, moment):
    assert read_time_words(words, NOW) == datetime.fromisoformat(f"{moment}+00:00").timestamp() * 1e6


@pytest.mark.parametrize(
    "words", ["", "jane", "25:10", "2026-02-30", "2026-13-01T00:00Z", "default:1", "999999d", "9:5", "yesterday 24:00"]
)
def test_what_is_no_time(words):
    assert read_time_words(words, NOW) is None


def test_a_time_without_a_zone_is_in_the_readers_zone():
    now = NOW.astimezone(timezone(timedelta(hours=-7)))
    assert read_time_words("05:00", now) == read_time_words("2026-07-24T12:00:00Z", NOW)
