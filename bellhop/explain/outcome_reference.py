"""Every outcome and standing with its meaning and advice, as docs/outcomes.md shows them. Pure."""

from collections.abc import Iterator

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
}
"""What the tables show for the {braces} of a sentence."""
MARKS = {Tone.GOOD: "✓", Tone.QUIET: "○", Tone.OPEN: "…", Tone.BAD: "✗"}


def outcomes() -> Iterator[str]:
    """Write every outcome as a row of a Markdown table."""
    yield "| word | of | | what `bellhop explain` says | what Bellhop does | what to do |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for outcome in Outcome:
        meaning = MEANING[outcome]
        sentence, advice = meaning.sentence.format(**EXAMPLE), meaning.advice.format(**EXAMPLE)
        mark, kind, then = MARKS[meaning.tone], meaning.kind.value, meaning.action.value
        yield f"| `{outcome}` | {kind} | {mark} | {sentence} | {then} | {advice} |"


def standings() -> Iterator[str]:
    """Write every standing as a row of a Markdown table."""
    yield "| word | what `bellhop explain` says | notice |"
    yield "| --- | --- | --- |"
    for standing in Standing:
        due = "yes" if standing in NOTICE_DUE else "not yet" if standing is Standing.RINGING else "no"
        yield f"| `{standing}` | {STANDINGS[standing].format(**EXAMPLE)} | {due} |"
