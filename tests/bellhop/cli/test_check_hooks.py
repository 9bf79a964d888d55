"""What `bellhop check` knows of Stream's events."""

from bellhop.cli.check.hooks import LOSSES
from bellhop.domain.event_types import HANDLED_EVENT_TYPES


def test_it_knows_what_breaks_without_each_event():
    types = [kind for loss in LOSSES for kind in loss.types]
    assert sorted(types) == sorted(HANDLED_EVENT_TYPES)
