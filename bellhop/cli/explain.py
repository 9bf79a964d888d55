"""`bellhop explain`: the story of a call in a terminal."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import click
from redis.exceptions import RedisError

from bellhop.cli.connection import connect, no_redis, settings_of_all, tenant_of, tenant_option
from bellhop.cli.output import plain
from bellhop.clock import Micros
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import Explanation, RoundExplanation
from bellhop.explain.explanation import explain as find
from bellhop.explain.sentences import duration
from bellhop.explain.verdict import UserVerdict
from bellhop.store.keys import trail_key
from bellhop.trail import read_trail

MARKS = {Tone.GOOD: ("✓", "green"), Tone.QUIET: ("○", "cyan"), Tone.OPEN: ("…", "yellow"), Tone.BAD: ("✗", "red")}
NARROWEST, WIDEST = 40, 120
TIME_WIDTH = 10


@click.command()
@click.argument("call_cid")
@click.argument("user_id", default="")
@click.option("--json", "as_json", is_flag=True, help="Print it for machines, as GET /v1/calls/<cid> answers.")
@tenant_option
def explain(call_cid: str, user_id: str, tenant: str, as_json: bool) -> None:
    """Say what happened to the call CALL_CID (or to USER_ID in it), and why a phone did not ring.

    CALL_CID is the call's type and id, such as default:1234. Exits with 1 when nothing is known of the call, or the
    user is none of its people.
    """
    settings = settings_of_all()
    tenant = tenant_of(settings, tenant)
    try:
        lines: Any = connect(settings).lrange(trail_key(tenant, call_cid), 0, -1)
    except RedisError as error:
        raise click.ClickException(no_redis(settings, error)) from None
    found = find(call_cid, read_trail(lines), user_id)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        click.echo("\n".join(told(found, width)))
    others = [app.tenant for app in settings.stream_apps if app.tenant != tenant]
    if not found.rounds and others and not as_json:
        click.echo(f"→ This was Stream app {tenant}: try --tenant {' or --tenant '.join(others)}.")
    sys.exit(0 if found.found else 1)


def told(found: Explanation, width: int) -> Iterator[str]:
    """Tell an explanation in lines of at most `width` columns, with colours."""
    yield click.style(plain(found.cid), bold=True)
    if not (found.user and found.found):  # one person's verdict is said below
        yield from _wrapped(found.summary, width)
    yield from _advice(found.next, width, "")
    for round_ in found.rounds:
        yield ""
        yield from _round(round_, width, asked=bool(found.user))


def _round(round_: RoundExplanation, width: int, *, asked: bool) -> Iterator[str]:
    for line in _wrapped(round_.headline, width):
        yield click.style(line, bold=True)
    yield from _advice(round_.next, width, "  ")
    for person in round_.people:
        yield from _person(person, width, verbose=asked)
    yield ""
    for one in round_.timeline:
        yield from _wrapped(one.sentence, width, f"{_after(one.after_us):>{TIME_WIDTH}}  ")


def _person(person: UserVerdict, width: int, *, verbose: bool) -> Iterator[str]:
    mark, color = MARKS[person.tone]
    verdict = person.verdict if person.verdict.startswith(person.user) else f"{person.user}: {person.verdict}"
    for number, line in enumerate(_wrapped(verdict, width, f"  {mark} ")):
        yield click.style(line, fg=color) if number == 0 else line
    if verbose or person.tone is Tone.BAD:
        yield from _advice(person.next, width, "    ")


def _after(us: Micros | None) -> str:
    if us is None or us < 0:
        return ""
    return f"+{us / 1e6:.2f} s" if us < 60_000_000 else f"+{duration(us)}"


def _advice(advice: tuple[str, ...], width: int, indent: str) -> Iterator[str]:
    for one in advice:
        yield from _wrapped(one, width, f"{indent}→ ")


def _wrapped(text: str, width: int, start: str = "") -> list[str]:
    return textwrap.wrap(plain(text), width, initial_indent=start, subsequent_indent=" " * len(start)) or [start]
