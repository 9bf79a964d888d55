"""When the Sentinels are asked, and when a server is doubted."""

import pytest

from bellhop.store.sentinel import DOUBT_S, LATE_S, LOOKUP_S, PrimaryDoubt, names_another


def test_the_primary_is_looked_up_once_in_a_while():
    doubt = PrimaryDoubt()
    assert doubt.lookup_is_due(100.0)
    assert not doubt.lookup_is_due(100.0 + LOOKUP_S / 2)
    assert doubt.lookup_is_due(100.0 + LOOKUP_S)


def test_a_late_answer_begins_a_time_of_doubt():
    doubt = PrimaryDoubt()
    assert not doubt.note_answer(100.0, 100.0 + LATE_S / 2)
    assert not doubt.is_in_doubt(100.0 + LATE_S / 2)
    assert doubt.note_answer(100.0, 101.0)
    assert doubt.is_in_doubt(101.0 + DOUBT_S / 2)
    assert not doubt.is_in_doubt(101.0 + DOUBT_S)


@pytest.mark.parametrize(
    ("answers", "moved"),
    [
        ([], False),
        ([("a", 1), None], False),
        ([(b"a", 1)], False),
        ([("a", 1), ("b", 1)], True),
        ([(b"a", 2)], True),
    ],
)
def test_one_sentinel_that_names_another_is_enough(answers, moved):
    assert names_another(answers, ("a", 1)) is moved
