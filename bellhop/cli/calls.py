"""`bellhop calls`: the latest calls, one line each, for people who have a name and a time but no call id."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import click

from bellhop.cli.connection import connect
from bellhop.cli.explain import MARKS, print_not_listed, verdict_about
from bellhop.cli.options import load_settings, select_tenant, since_option, tenant_option
from bellhop.cli.output import json_option, plain, print_json
from bellhop.clock import Micros, as_datetime, iso
from bellhop.domain import round_of_test
from bellhop.domain.folded_text import folded
from bellhop.domain.outcomes import Tone
from bellhop.domain.push import QUIET
from bellhop.explain.explanation import LatestRounds, RoundExplanation
from bellhop.explain.sentences import named
from bellhop.explain.summary import CallSummary, missed, summarize
from bellhop.explain.verdict import UserVerdict
from bellhop.latest_calls import ListedCall, has_list, latest_calls

SHOWN_PEOPLE = 3


class ShownCall(NamedTuple):
    """A call of the list, with its explanation."""

    listed: ListedCall
    latest: LatestRounds

    @property
    def last_round(self) -> RoundExplanation:
        """The last time that the call rang."""
        rounds = self.latest.explanation.rounds
        return next((round_ for round_ in reversed(rounds) if round_.started_at), rounds[-1])

    def people_like(self, user: str) -> list[UserVerdict]:
        """Return the called users with this id, or with these words in their ids and names; without words, all."""
        people = self.last_round.people
        words = folded(user).split()
        same = [person for person in people if person.user == user]
        return same or [
            person for person in people if all(word in folded(f"{person.user} {person.name}") for word in words)
        ]

    def missed_by(self, user: str) -> bool:
        """Return whether somebody, or this user, missed the call."""
        return any(missed(self.last_round, person) for person in self.people_like(user))


@click.command("calls")
@click.option("--user", default="", help="Only calls of this user: an id, or words of a name.")
@since_option
@click.option("--missed", "only_missed", is_flag=True, help="Only calls that somebody (or --user) missed.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True, help="Most calls to list.")
@json_option
@tenant_option
def command(user: str, since: Micros | None, tenant: str, limit: int, *, only_missed: bool, as_json: bool) -> None:
    """List the latest calls, the newest first.

    Times are in UTC. `bellhop explain` then tells more about a call.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    redis = connect(settings)
    listed = (ShownCall(found, found.explained()) for found in latest_calls(redis, tenant, user, since or Micros(0)))
    calls = list(islice((call for call in listed if not only_missed or call.missed_by(user)), limit))
    if as_json:
        print_json({"calls": [_as_json(call) for call in calls]})
        return
    for call in calls:
        click.echo("\n".join(_lines(call, user)))
    if not calls:
        click.echo("No such call.", err=True)
        if not has_list(redis, tenant):
            print_not_listed()


def _lines(call: ShownCall, user: str) -> Iterator[str]:
    summary = summarize(*call.latest)
    mark, color = MARKS[summary.tone]
    when = as_datetime(call.listed.call.began_at).strftime("%Y-%m-%d %H:%M:%S")
    yield f"{when}  {click.style(mark, fg=color)} {plain(summary.cid)}  {plain(_what(summary))}"
    shown = [person for person in call.people_like(user) if user or person.tone is Tone.BAD]
    for person in shown[:SHOWN_PEOPLE]:
        yield f"{'':23}{plain(verdict_about(person, person.user))}"


def _what(summary: CallSummary) -> str:
    if summary.kind == round_of_test.KIND:
        return f"test of the phones of {summary.called}: {summary.reached} of {summary.people} reached"
    caller = named(summary.caller, summary.caller_name) or "somebody"
    verb = "notified" if summary.kind in QUIET else "called"
    return f"{caller} {verb} {summary.called or 'nobody'}: {summary.reached} of {summary.people} reached"


def _as_json(call: ShownCall) -> dict[str, Any]:
    summary, round_ = summarize(*call.latest), call.last_round
    return {
        "cid": summary.cid,
        "time": iso(call.listed.call.began_at),
        "kind": summary.kind,
        "caller": summary.caller,
        "caller_name": summary.caller_name,
        "people": [
            {
                "user": person.user,
                "name": person.name,
                "verdict": person.verdict,
                "tone": person.tone,
                "standing": person.standing,
                "reached": person.reached,
                "missed": missed(round_, person),
            }
            for person in round_.people
        ],
        "rounds": summary.rounds,
        "tone": summary.tone,
        "flags": sorted(summary.flags),
    }
