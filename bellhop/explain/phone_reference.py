"""The tables of docs/phones.md: what a phone can report, and what each of its states does to a ring. Pure."""

from collections.abc import Iterator

from bellhop.domain.phone import PhoneHealth
from bellhop.domain.phone_states import STATES
from bellhop.field_docs import field_docs


def health_fields() -> Iterator[str]:
    """Write every field of a health report as a row of a Markdown table."""
    yield "| field | what it says |"
    yield "| --- | --- |"
    for name, words in field_docs(PhoneHealth).items():
        yield f"| `{name}` | {' '.join(words.split())} |"


def phone_states() -> Iterator[str]:
    """Write every state of a phone as a row of a Markdown table."""
    yield "| word | effect | what Bellhop says | what to do |"
    yield "| --- | --- | --- | --- |"
    for state in STATES:
        sentence = state.sentence.format(since="", reason="")
        yield f"| `{state.word}` | `{state.effect}` | {sentence} | {state.advice} |"
