"""`bellhop export`: print everything that is kept of a person."""

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings, select_tenant, tenant_option, user_argument
from bellhop.cli.output import print_json
from bellhop.privacy.person_export import export
from bellhop.store.blocking_client import partitions_of
from bellhop.store.steps import run_blocking


@click.command("export")
@user_argument
@tenant_option
def command(user_id: str, tenant: str) -> None:
    """Print all that is kept of USER_ID, as JSON.

    It reads all keys, in small steps. The document has push tokens and an e-mail address, if they are kept.
    """
    settings = load_settings()
    tenant = select_tenant(settings, tenant)
    redis = connect(settings)
    document = run_blocking(export(tenant, user_id, partitions_of(redis)), redis)
    print_json(document.model_dump(mode="json"))
