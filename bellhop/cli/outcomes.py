"""`bellhop outcomes`: list every outcome and standing with its meaning and advice."""

import click

from bellhop.cli.output import json_option, print_json
from bellhop.explain import outcome_reference


@click.command("outcomes")
@json_option
def command(as_json: bool) -> None:
    """List every outcome of a push, and what it means.

    For each outcome of a push or an e-mail, and each standing of a user in a call: what it means, and what to do, as
    docs/outcomes.md lists them.
    """
    if as_json:
        print_json(
            {
                "outcomes": [row._asdict() for row in outcome_reference.outcome_rows()],
                "standings": [row._asdict() for row in outcome_reference.standing_rows()],
            }
        )
        return
    click.echo("\n".join([*outcome_reference.outcomes(), "", *outcome_reference.standings()]))
