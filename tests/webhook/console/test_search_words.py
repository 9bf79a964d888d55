"""What is typed into the console's search box."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from webhook.console.search_words import read_search

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=BERLIN)


def read(text, now=NOW):
    search = read_search(text, now)
    times = [datetime.fromtimestamp(at / 1e6, UTC).strftime("%d %H:%M") for at in (search.since, search.until) if at]
    return search.text, " to ".join(times)


@pytest.mark.parametrize(
    ("typed", "text", "times"),
    [
        ("yesterday 15:10", "", "28 14:00 to 28 14:21"),
        ("11:10", "", "29 10:00 to 29 10:21"),
        ("15:10", "", "28 14:00 to 28 14:21"),
        ("2026-11-28 15:10", "", "28 14:00 to 28 14:21"),
        ("Jane Morel yesterday 15:10", "Jane Morel", "28 14:00 to 28 14:21"),
        ("jane 2026-11-27", "jane", "26 23:00 to 27 23:00"),
        ("yesterday", "", "27 23:00 to 28 23:00"),
        ("2h", "", "29 08:50 to 29 09:11"),
        ("room 2h", "room 2h", ""),
        ("default:1234", "default:1234", ""),
        ("2026-99-99", "2026-99-99", ""),
        ("", "", ""),
    ],
)
def test_a_time_may_follow_the_words(typed, text, times):
    assert read(typed) == (text, times)


def test_a_day_with_25_hours_is_found_whole():
    assert read("2026-10-25") == ("", "24 22:00 to 25 23:00")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_at_the_end_of_the_calendar_is_read(day):
    assert read_search(day, NOW).until > read_search(day, NOW).since >= 0


def test_a_time_is_in_the_zone_of_the_reader():
    assert read("yesterday 15:10", NOW.astimezone(UTC)) == ("", "28 15:00 to 28 15:21")
