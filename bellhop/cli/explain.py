"""`bellhop explain`: what happened to a call, in a terminal."""

import asyncio
import shutil
import sys
import textwrap
from collections.abc import Iterator
from itertools import islice

import click
from redis import Redis

from bellhop.call_index import is_known_user
from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings, select_tenant, since_option, tenant_option
from bellhop.cli.output import plain, print_json
from bellhop.clock import Micros, as_datetime
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import Explanation, RoundExplanation, explain
from bellhop.explain.repeats import joined
from bellhop.explain.sentences import duration, named
from bellhop.explain.verdict import UserVerdict
from bellhop.latest_calls import calls_with_id, has_list, latest_calls
from bellhop.settings import Settings
from bellhop.store.stored_trail import read_stored_trail
from bellhop.trail import read_trail

MARKS = {Tone.GOOD: ("✓", "green"), Tone.QUIET: ("○", "cyan"), Tone.OPEN: ("…", "yellow"), Tone.BAD: ("✗", "red")}
NOT_LISTED = (
    "Calls are listed only while the console is switched on: set BELLHOP_CONSOLE_PASSWORD for the web process. "
    "`bellhop explain <type>:<id>` finds a call by its id all the same."
)
MOST_EXPLAINED = 10
"""Calls of a user that one command explains."""
NARROWEST, WIDEST = 40, 120
TIME_WIDTH = 10


@click.command("explain")
@click.argument("call_cid")
@click.argument("user_id", default="")
@since_option
@click.option("--ask", is_flag=True, help="First ask Stream for the state of the ring; webhooks may be lost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as GET /v1/calls/<cid> returns it.")
@tenant_option
def command(call_cid: str, user_id: str, since: Micros | None, tenant: str, *, ask: bool, as_json: bool) -> None:
    """Explain a call, and why a phone did not ring.

    CALL_CID is the call's type and id, such as default:1234; the id alone is enough if no other call has it. With
    USER_ID, only that user is explained. With --since, name a user instead of a call, to explain the user's calls.
    Exits with 1 if the call is unknown, or if the user does not belong to it.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    redis = connect(settings)
    if since is not None:
        _explain_user(redis, tenant, call_cid, since, as_json=as_json)
        return
    call_cid = _whole_cid(redis, tenant, call_cid)
    said = _ask_stream(settings, tenant, call_cid) if ask else ""
    lines, now, told, today = read_stored_trail(redis, tenant, call_cid)
    if said:
        click.echo(f"{said}\n", err=True)
    explanation = explain(call_cid, read_trail(lines), user_id, now, told, today)
    if as_json:
        print_json(explanation.as_json())
    else:
        click.echo("\n".join(_lines(explanation, _width())))
    others = [app.tenant for app in settings.stream_apps if app.tenant != tenant]
    if not explanation.rounds and others and not as_json:
        click.echo(f"→ Bellhop looked in the Stream app {tenant}. Try --tenant {' or --tenant '.join(others)}.")
    sys.exit(0 if explanation.found else 1)


def _whole_cid(redis: Redis, tenant: str, text: str) -> str:
    """Find the call if only its id is given, without its type. Exits with 1 if several calls have this id."""
    found = [] if ":" in text else calls_with_id(redis, tenant, text)
    if len(found) > 1:
        click.echo(f"{len(found)} calls have the id {plain(text)}. Name one of them:", err=True)
        for cid in found:
            click.echo(f"  bellhop explain {plain(cid)}", err=True)
        sys.exit(1)
    if not found and ":" not in text and is_known_user(redis, tenant, text):
        click.echo(f"→ {plain(text)} is the id of a user: try `bellhop explain {plain(text)} --since 24h`.", err=True)
    return found[0] if found else text


def _explain_user(redis: Redis, tenant: str, user_id: str, since: Micros, *, as_json: bool) -> None:
    """Explain the latest calls of a user, the latest first. Exits with 1 if there are none."""
    calls = islice(latest_calls(redis, tenant, user_id, since), MOST_EXPLAINED)
    explained = [call.explained(user_id).explanation for call in calls]
    if as_json:
        print_json({"user": user_id, "calls": [call.as_json() for call in explained]})
    else:
        click.echo("\n\n\n".join("\n".join(_lines(call, _width())) for call in explained))
    if explained:
        return
    click.echo(f"{plain(user_id)} has no call since {as_datetime(since):%Y-%m-%d %H:%M} UTC.", err=True)
    if not has_list(redis, tenant):
        print_not_listed()
    sys.exit(1)


def print_not_listed() -> None:
    """Say that calls are listed only while the console is switched on."""
    click.echo(f"→ {NOT_LISTED}", err=True)


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


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
    for entry in joined(round_.timeline):
        yield from _wrapped(entry.sentence, width, f"{_after(entry.after_us):>{TIME_WIDTH}}  ")


def _person(person: UserVerdict, width: int, *, verbose: bool) -> Iterator[str]:
    mark, color = MARKS[person.tone]
    verdict = verdict_about(person, named(person.user, person.name))
    for number, line in enumerate(_wrapped(verdict, width, f"  {mark} ")):
        yield click.style(line, fg=color) if number == 0 else line
    if verbose or person.tone is Tone.BAD:
        yield from _advice(person.next, width, "    ")


def verdict_about(person: UserVerdict, who: str) -> str:
    """Begin the verdict with `who`, in place of the user's id if it begins with that."""
    if person.verdict.startswith(person.user):
        return who + person.verdict.removeprefix(person.user)
    return f"{who}: {person.verdict}"


def _after(us: Micros | None) -> str:
    if us is None or us < 0:
        return ""
    return f"+{us / 1e6:.2f} s" if us < 60_000_000 else f"+{duration(us)}"


def _advice(advice: tuple[str, ...], width: int, indent: str) -> Iterator[str]:
    for sentence in advice:
        yield from _wrapped(sentence, width, f"{indent}→ ")


def _wrapped(text: str, width: int, start: str = "") -> list[str]:
    return textwrap.wrap(plain(text), width, initial_indent=start, subsequent_indent=" " * len(start)) or [start]
