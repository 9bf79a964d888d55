"""What users, operators and support people read says things plainly: a short list of phrases that made readers stop."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bellhop.cli import main
from bellhop.domain.outcomes import MEANING
from bellhop.explain import sentences
from bellhop.settings import reference
from bellhop.validation_messages import PATTERNS, SENTENCES
from webhook.api_errors import ApiErrorKind

ROOT = Path(__file__).parent.parent
BANNED = re.compile(
    r"\b(whoever|whomever)\b"
    r"|\bis no (whole|text|moment|number|list|object|valid|integer|string)\b"
    r"|\b(nobody|somebody)'s\b"
    r"|\bwhat (became|becomes|came|comes) of\b|\bwhat of it\b"
    r"|\b(is|are|was|were) told\b"
    r"|\bthe door\b"
    r"|\b(gate|fence)'s word\b"
    r"|\bmissed by\b"
    r"|\bis kept so\b"
    r"|\bknows? nothing of\b"
    r"|\bthe last of \d+ times\b",
    re.IGNORECASE,
)
EXAMPLES = "| instead of | write |"
"""The table of docs/developing.md that quotes bad sentences begins so."""


def pages() -> Iterator[tuple[str, str]]:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").glob("*.yml")]:
        text = path.read_text()
        yield str(path.relative_to(ROOT)), text.partition(EXAMPLES)[0]
    for package in ("webhook", "bellhop"):
        for path in [*(ROOT / package).rglob("templates/**/*.html"), *(ROOT / package).rglob("templates/en.toml")]:
            yield str(path.relative_to(ROOT)), path.read_text()


def commands(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    options = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    yield path, "\n".join([command.help or "", *options])
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")


def texts() -> Iterator[tuple[str, str]]:
    yield from pages()
    yield from commands(main, "bellhop")
    yield "settings", reference()
    yield "outcomes", "\n".join(f"{meaning}" for meaning in MEANING.values())
    yield "explanations", "\n".join(str(value) for name, value in vars(sentences).items() if name.isupper())
    yield "validation messages", "\n".join([*SENTENCES.values(), *PATTERNS.values()])
    yield "API errors", "\n".join(f"{error.value}" for error in ApiErrorKind)


@pytest.mark.parametrize(("place", "text"), [pytest.param(*pair, id=pair[0]) for pair in texts()])
def test_no_text_has_a_phrase_that_made_readers_stop(place, text):
    found = [text[max(0, match.start() - 40) : match.end() + 20] for match in BANNED.finditer(text)]
    assert not found, place
