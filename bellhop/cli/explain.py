"""`bellhop explain`: what happened to a call, in a terminal."""

import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings, select_tenant, tenant_option
from bellhop.cli.output import plain
from bellhop.clock import Micros
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import Explanation, RoundExplanation, explain
from bellhop.explain.sentences import duration, named
from bellhop.explain.verdict import UserVerdict
from bellhop.settings import Settings
from bellhop.store.stored_trail import read_stored_trail
from bellhop.trail import read_trail

MARKS = {Tone.GOOD: ("✓", "green"), Tone.QUIET: ("○", "cyan"), Tone.OPEN: ("…", "yellow"), Tone.BAD: ("✗", "red")}
NARROWEST, WIDEST = 40, 120
TIME_WIDTH = 10


@click.command("explain")
@click.argument("call_cid")
@click.argument("user_id", default="")
@click.option("--ask", is_flag=True, help="First ask Stream for the state of the ring; webhooks may be lost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as GET /v1/calls/<cid> returns it.")
@tenant_option
def command(call_cid: str, user_id: str, tenant: str, ask: bool, as_json: bool) -> None:
    """Explain a call: who was rung, and why a phone did not ring.

    CALL_CID is the call's type and id, such as default:1234. With USER_ID, only that user is explained. Exits with 1 if
    the call is unknown, or if the user does not belong to it.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    redis = connect(settings)
    said = _ask_stream(settings, tenant, call_cid) if ask else ""
    lines, now, told = read_stored_trail(redis, tenant, call_cid)
    if said:
        click.echo(f"{said}\n", err=True)
    explanation = explain(call_cid, read_trail(lines), user_id, now, told)
    if as_json:
        click.echo(json.dumps(explanation.as_json(), indent=2))
    else:
        width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        click.echo("\n".join(_lines(explanation, width)))
    others = [app.tenant for app in settings.stream_apps if app.tenant != tenant]
    if not explanation.rounds and others and not as_json:
        click.echo(f"→ Bellhop looked in the Stream app {tenant}. Try --tenant {' or --tenant '.join(others)}.")
    sys.exit(0 if explanation.found else 1)


def _ask_stream(settings: Settings, tenant: str, cid: str) -> str:
    """Ask Stream, and say how that ended."""
    from bellhop.question_on_demand import ask_on_demand, in_a_sentence  # noqa: PLC0415 - it imports aiohttp

    try:
        return in_a_sentence(cid, asyncio.run(ask_on_demand(settings, tenant, cid)))
    except TimeoutError:
        raise click.ClickException("Stream could not be asked: Redis does not answer") from None


def _lines(explanation: Explanation, width: int) -> Iterator[str]:
    """Wrap an explanation into lines of at most `width` columns, with colours."""
    yield click.style(plain(explanation.cid), bold=True)
    if not (explanation.user and explanation.found):  # for one user, the verdict below is enough
        yield from _wrapped(explanation.summary, width)
    yield from _advice(explanation.next, width, "")
    for round_ in explanation.rounds:
        yield ""
        yield from _round(round_, width, verbose=bool(explanation.user))


def _round(round_: RoundExplanation, width: int, *, verbose: bool) -> Iterator[str]:
    for line in _wrapped(round_.headline, width):
        yield click.style(line, bold=True)
    yield from _advice(round_.next, width, "  ")
    for person in round_.people:
        yield from _person(person, width, verbose=verbose)
    yield ""
    for entry in round_.timeline:
        yield from _wrapped(entry.sentence, width, f"{_after(entry.after_us):>{TIME_WIDTH}}  ")


def _person(person: UserVerdict, width: int, *, verbose: bool) -> Iterator[str]:
    mark, color = MARKS[person.tone]
    who, starts = named(person.user, person.name), person.verdict.startswith(person.user)
    verdict = who + person.verdict.removeprefix(person.user) if starts else f"{who}: {person.verdict}"
    for number, line in enumerate(_wrapped(verdict, width, f"  {mark} ")):
        yield click.style(line, fg=color) if number == 0 else line
    if verbose or person.tone is Tone.BAD:
        yield from _advice(person.next, width, "    ")


def _after(us: Micros | None) -> str:
    if us is None or us < 0:
        return ""
    return f"+{us / 1e6:.2f} s" if us < 60_000_000 else f"+{duration(us)}"


def _advice(advice: tuple[str, ...], width: int, indent: str) -> Iterator[str]:
    for sentence in advice:
        yield from _wrapped(sentence, width, f"{indent}→ ")


def _wrapped(text: str, width: int, start: str = "") -> list[str]:
    return textwrap.wrap(plain(text), width, initial_indent=start, subsequent_indent=" " * len(start)) or [start]
