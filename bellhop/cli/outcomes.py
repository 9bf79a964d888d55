"""`bellhop outcomes`: list every outcome and standing with its meaning and advice."""

import click

from bellhop.explain import outcome_reference


@click.command("outcomes")
def command() -> None:
    """List every outcome of a push, as docs/outcomes.md does.

    For each outcome of a push or an e-mail, and each standing of a user in a call: what it means, and what to do.
    """
    click.echo("\n".join([*outcome_reference.outcomes(), "", *outcome_reference.standings()]))
