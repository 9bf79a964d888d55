"""Every outcome and standing with what it means and what to do, as docs/outcomes.md shows them. Pure."""

from collections.abc import Iterator

from bellhop.domain.call import NOTICE_DUE, Standing
from bellhop.domain.outcomes import MEANING, Action, Outcome
from bellhop.explain.sentences import OUTCOMES, STANDINGS, Tone

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
"""What stands in for what a sentence is filled in with."""
MARKS = {Tone.GOOD: "✓", Tone.QUIET: "○", Tone.OPEN: "…", Tone.BAD: "✗"}
THEN = {
    Action.DONE: "nothing more",
    Action.RETRY_NOW: "repeats it at once",
    Action.RETRY_LATER: "repeats it after a pause",
    Action.PRUNE: "removes the token, unless it was registered since or too many die at once",
    Action.SWITCH_ENVIRONMENT: "Apple: tries the other environment, once",
    Action.OPEN_CIRCUIT: "sends nothing to this app for 30 s, then tries again",
    Action.ALERT: "does not repeat it",
    Action.SKIP: "sends nothing",
}
"""What Bellhop does then. `worker.delivery` says how often, and after which pause."""


def outcomes() -> Iterator[str]:
    """Every outcome as a row of a Markdown table."""
    yield "| word | | what `bellhop explain` says | what Bellhop does | what to do |"
    yield "| --- | --- | --- | --- | --- |"
    for outcome in Outcome:
        words = OUTCOMES[outcome]
        because, advice = words.because.format(**EXAMPLE), words.advice.format(**EXAMPLE)
        yield f"| `{outcome}` | {MARKS[words.tone]} | {because} | {THEN[MEANING[outcome].action]} | {advice} |"


def standings() -> Iterator[str]:
    """Every standing as a row of a Markdown table."""
    yield "| word | what `bellhop explain` says | notice |"
    yield "| --- | --- | --- |"
    for standing in Standing:
        due = "yes" if standing in NOTICE_DUE else "not yet" if standing is Standing.RINGING else "no"
        yield f"| `{standing}` | {STANDINGS[standing].format(**EXAMPLE)} | {due} |"
