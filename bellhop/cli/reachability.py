"""`bellhop reachability`: can this user be rung now?"""

import sys

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings, select_tenant, tenant_option, user_argument
from bellhop.cli.output import json_option, plain, print_json
from bellhop.domain.phone_states import RingEffect
from bellhop.reachability import ReachabilityReason, RingAnswer, judge
from bellhop.reachability_facts import read_reachability_facts

COLORS = {RingAnswer.YES: "green", RingAnswer.MAYBE: "yellow", RingAnswer.NO: "red"}
MARKS = {RingEffect.SILENT: "✗", RingEffect.UNSURE: "?", RingEffect.NO_SOUND: "?", RingEffect.NOTE: "·"}


@click.command("reachability")
@user_argument
@click.option("--caller", metavar="USER_ID", default="", help="Answer for calls by this user.")
@json_option
@tenant_option
def command(user_id: str, caller: str, tenant: str, as_json: bool) -> None:
    """Say whether USER_ID can be rung now, and why not.

    It reads what phones reported, the latest calls, the registry and the workers' state. Nothing is sent. Exits with 1
    if the user cannot be rung.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    facts = read_reachability_facts(connect(settings), settings, tenant, user_id)
    answer = judge(facts, caller=caller)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        click.secho(plain(answer.sentence), fg=COLORS[answer.rings], bold=True)
        for reason in answer.reasons:
            _print(reason)
    sys.exit(1 if answer.rings is RingAnswer.NO else 0)


def _print(reason: ReachabilityReason) -> None:
    about = f"{reason.phone}: " if reason.phone else ""
    click.echo(plain(f"  {MARKS[reason.effect]} {about}{reason.sentence}"))
    click.echo(plain(f"    → {reason.next}"))
