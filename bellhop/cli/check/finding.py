"""One result of `bellhop check`."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """What was tested, how serious the result is, and what to do about it."""

    level: Level
    subject: str
    sentence: str
    kept: str = ""
    """What Redis keeps for the console if `sentence` names users or addresses."""

    def shown(self) -> dict[str, str]:
        """Return the finding for `bellhop check --json`."""
        return {"level": self.level, "subject": self.subject, "sentence": self.sentence}
