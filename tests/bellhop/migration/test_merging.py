"""What a run makes of an entry, after any changes on both sides since the run before."""

from hypothesis import given
from hypothesis import strategies as st

from bellhop.migration.merging import Change, change_of, digest

VALUES = st.sampled_from([None, b"a", b"b"])


def run(former, copied, new):
    """One run: returns the change, what is remembered, and what the new Redis has."""
    change = change_of(former, copied, new)
    remembered = None if former is None else digest(former)
    return change, remembered, former if change in (Change.COPIED, Change.REMOVED) else new


@given(VALUES, VALUES, VALUES, VALUES)
def test_the_side_that_changed_since_the_last_run_wins(first, first_new, former, new):
    _, remembered, _ = run(first, None, first_new)
    change, _, result = run(former, remembered, new)
    if former == first:
        assert (change, result) == (Change.UNCHANGED, new)  # what the new Redis removed stays removed
    elif new == first:
        assert result == former
    else:
        assert result == new
        assert change is (Change.UNCHANGED if former == new else Change.KEPT)


@given(VALUES, VALUES, VALUES)
def test_a_run_that_is_repeated_changes_nothing_more(former, copied, new):
    _, remembered, result = run(former, None if copied is None else digest(copied), new)
    assert run(former, remembered, result) == (Change.UNCHANGED, remembered, result)
