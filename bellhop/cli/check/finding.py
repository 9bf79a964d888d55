"""What `bellhop check` finds: one thing that was tried, how bad it is, and what to do about it."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One thing that was tried."""

    level: Level
    subject: str
    sentence: str
