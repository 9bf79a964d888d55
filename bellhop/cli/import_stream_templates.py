"""`bellhop import-stream-templates`: write Stream's own templates of pushes as a file of your own pushes."""

import asyncio
from pathlib import Path

import aiohttp
import click

from bellhop.cli.options import load_settings, select_stream_app, tenant_option
from bellhop.cli.output import plain
from bellhop.settings import Settings, StreamApp
from bellhop.settings.variables import variable
from bellhop.stream_api import StreamRefused, stream_api
from bellhop.stream_templates import CallType, TakenOver, as_toml, custom_fields_of, read_call_types, taken_over

TIMEOUT_S = 30.0


@click.command("import-stream-templates")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@tenant_option
def command(file: Path, tenant: str) -> None:
    """Write Stream's own templates of pushes to FILE.

    FILE is for BELLHOP_PUSHES_FILE; - prints to standard output. It must not exist yet. Reads the notification settings
    of all call types at Stream: title, body, sound and data for Apple, data for Google. Nothing is changed at Stream.
    Says what cannot be taken over, and which settings the file needs.
    """
    if str(file) != "-" and file.exists():
        raise click.ClickException(f"{file} exists: name another file, and copy what you need into the first one")
    settings = load_settings()
    app = select_stream_app(settings, tenant)
    try:
        call_types = asyncio.run(_read(settings, app))
    except StreamRefused as refused:
        raise click.ClickException(f"Stream's call types cannot be read: {refused}") from None
    pushes = [*taken_over(call_types)]
    text = as_toml(pushes, [*call_types])
    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")
    _report(pushes, file)


async def _read(settings: Settings, app: StreamApp) -> dict[str, CallType]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        return await read_call_types(stream_api(settings.stream_api_url, session, app))


def _report(pushes: list[TakenOver], file: Path) -> None:
    """Print to standard error what the file needs, and what it does not have."""
    used = custom_fields_of(pushes)
    settings = {"pushes_file": [str(file)], "push_call_fields": used["call"], "push_caller_fields": used["caller"]}
    for name, values in settings.items():
        if values and values != ["-"]:
            click.echo(plain(f"set {variable(name)}={','.join(values)}"), err=True)
    for push in pushes:
        for reason in push.lost:
            which = f"{push.kind} through {push.provider}, call type {push.call_type}"
            click.echo(plain(f"not taken over: {which}, {reason}"), err=True)
