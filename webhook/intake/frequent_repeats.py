"""Remember the answer to a webhook, or to a receipt, that comes often within a minute. Further repeats cost little.

Stream posts a webhook at most three times. In memory, for each process.
"""

from collections.abc import Mapping

from bellhop.clock import MINUTE_US, Micros

MOST_REMEMBERED = 1_000
"""How many webhooks or receipts are remembered in a minute."""

Answer = Mapping[str, str]


class FrequentRepeats:
    """Counts the repeats of each webhook, or receipt, in this minute. Views in several threads may lose a count."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._repeats: dict[str, int] = {}
        self._answers: dict[str, Answer] = {}

    def note(self, claim: str, answer: Answer, now: Micros) -> None:
        """Count a repeat of what `claim` names. Remember its answer if it has come too often."""
        self._begin_minute(now)
        if claim not in self._repeats and len(self._repeats) >= MOST_REMEMBERED:
            return
        self._repeats[claim] = self._repeats.get(claim, 0) + 1
        if self._repeats[claim] >= self._per_minute:
            self._answers[claim] = answer

    def answer_of(self, claim: str, now: Micros) -> Answer | None:
        """Return the answer to what came too often in this minute."""
        if not self._answers:
            return None
        self._begin_minute(now)
        return self._answers.get(claim)

    def _begin_minute(self, now: Micros) -> None:
        minute = now // MINUTE_US
        if minute != self._minute:
            self._minute, self._repeats, self._answers = minute, {}, {}
