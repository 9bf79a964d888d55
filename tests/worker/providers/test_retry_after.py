import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.providers.retry_after import retry_after_s

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
    ],
)
def test_seconds_and_dates_are_waits(header, wait_s):
    assert retry_after_s(header, NOON) == wait_s


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "٣", "Tue, 14 Nov", "Tue, 99 Nov 2023 22:14:20 GMT"])
def test_an_invalid_retry_after_is_ignored(header):
    assert retry_after_s(header, NOON) is None


@given(st.text())
def test_no_header_breaks_it(header):
    wait_s = retry_after_s(header, NOON)
    assert wait_s is None or wait_s >= 0
