"""A table that says which keys come often: never too late, and with the memory of a small table."""

from bellhop.clock import MINUTE_US, Micros
from bellhop.domain.busy_table import NOT_BUSY, SLOTS, BusyTable

NOW = Micros(29_000_000 * MINUTE_US)


def test_a_key_is_busy_after_some_times_in_a_minute():
    table = BusyTable()
    assert [table.note("ben", f"ring-{number}", NOW) for number in range(NOT_BUSY + 2)] == [
        *[False] * NOT_BUSY,
        True,
        True,
    ]
    assert not table.note("ben", "ring-99", Micros(NOW + MINUTE_US)), "a new minute"


def test_an_event_of_an_earlier_minute_forgets_nothing():
    table = BusyTable()
    for number in range(NOT_BUSY):
        table.note("ben", f"ring-{number}", NOW)
    assert table.note("ben", "an old ring", Micros(NOW - MINUTE_US))
    assert table.note("ben", "ring-99", NOW)


def test_the_same_thing_again_counts_once():
    table = BusyTable()
    assert not any(table.note("ben", "ring-1", NOW) for _ in range(100))


def test_among_many_keys_a_busy_one_is_never_missed():
    table = BusyTable()
    for number in range(2 * SLOTS):
        table.note(f"user-{number}", "a ring", NOW)
    noted = [table.note("ben", f"ring-{number}", NOW) for number in range(NOT_BUSY + 1)]
    assert noted[-1]
