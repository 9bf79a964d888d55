"""`bellhop forget`: delete what is kept of a person, and make the person unreadable everywhere else."""

from functools import partial

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings, select_tenant, tenant_option, user_argument
from bellhop.cli.output import plain
from bellhop.privacy.forgetting_people import erase_due, forget
from bellhop.store.blocking_client import partitions_of, run_script, together
from bellhop.store.steps import run_blocking


@click.command("forget")
@user_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@tenant_option
def command(user_id: str, tenant: str, yes: bool) -> None:
    """Forget USER_ID: delete devices, contact, preferences.

    Trails, lists, jobs and e-mails that wait name a pseudonym instead (docs/privacy.md). It reads all keys, in small
    steps. Workers look again after ten minutes and after a day. It cannot be undone.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    if not yes:
        click.confirm(plain(f"Forget {user_id}? This cannot be undone."), abort=True)
    redis = connect(settings)
    person = forget(partial(together, redis), partial(run_script, redis), tenant, user_id)
    counts = run_blocking(erase_due(partitions_of(redis)), redis)
    changed = sum(counts.values()) if counts else 0
    click.echo(plain(f"forgot {user_id}: {changed} entries changed; on trails the person is {person.pseudonym} now"))
