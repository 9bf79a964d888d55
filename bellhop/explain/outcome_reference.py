"""Every outcome and standing with its meaning and advice, as docs/outcomes.md shows them. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from bellhop.domain.call import NOTICE_DUE, Standing
from bellhop.domain.outcomes import MEANING, Outcome, Tone
from bellhop.explain.sentences import STANDINGS

EXAMPLE = {
    "provider": "the provider",
    "app": "the app",
    "user": "jane",
    "who": "jane",
    "whose": "jane's",
    "push": "push",
    "purpose": "calls",
    "since": "",
    "when": "",
    "until": "",
    "hours": "",
    "disabled": "",
}
"""What the tables show for the {braces} of a sentence."""
MARKS = {Tone.GOOD: "✓", Tone.QUIET: "○", Tone.OPEN: "…", Tone.BAD: "✗"}


class OutcomeRow(NamedTuple):
    """What an outcome means."""

    word: str
    of: str
    mark: str
    sentence: str
    then: str
    """What Bellhop does."""
    advice: str


class StandingRow(NamedTuple):
    """What a standing means."""

    word: str
    sentence: str
    notice: str


def outcome_rows() -> Iterator[OutcomeRow]:
    """Describe every outcome."""
    for outcome in Outcome:
        meaning = MEANING[outcome]
        sentence, advice = meaning.sentence.format(**EXAMPLE), meaning.advice.format(**EXAMPLE)
        mark, kind, then = MARKS[meaning.tone], meaning.kind.value, meaning.action.value
        yield OutcomeRow(outcome, kind, mark, sentence, then, advice)


def standing_rows() -> Iterator[StandingRow]:
    """Describe every standing."""
    for standing in Standing:
        due = "yes" if standing in NOTICE_DUE else "not yet" if standing is Standing.RINGING else "no"
        yield StandingRow(standing, STANDINGS[standing].format(**EXAMPLE), due)


def outcomes() -> Iterator[str]:
    """Write every outcome as a row of a Markdown table."""
    yield "| word | of | | what `bellhop explain` says | what Bellhop does | what to do |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in outcome_rows():
        yield f"| `{row.word}` | {row.of} | {row.mark} | {row.sentence} | {row.then} | {row.advice} |"


def standings() -> Iterator[str]:
    """Write every standing as a row of a Markdown table."""
    yield "| word | what `bellhop explain` says | notice |"
    yield "| --- | --- | --- |"
    for row in standing_rows():
        yield f"| `{row.word}` | {row.sentence} | {row.notice} |"
