"""A tally of its own for each test."""

import pytest

from bellhop.telemetry import metrics
from bellhop.telemetry.metrics import Tally


@pytest.fixture
def tally(monkeypatch):
    """The tally that this process counts in, empty."""
    tally = Tally()
    monkeypatch.setattr(metrics, "TALLY", tally)
    return tally
