"""`bellhop events`: events that could not be sent to the team's backend, and a receiver for development."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import click
from redis import Redis

from bellhop.audience import Audience, Destination, audience
from bellhop.cli.connection import connect
from bellhop.cli.options import load_settings
from bellhop.cli.output import json_option, plain, print_json
from bellhop.cli.progress import progress, say_aside
from bellhop.clock import as_datetime, iso
from bellhop.dead_letters import DeadLetter, dead_letters, send_again
from bellhop.settings import Settings
from bellhop.store.redis_clock import read_time

NONE_CONFIGURED = "the settings have no endpoint: set BELLHOP_EVENT_ENDPOINTS (docs/events.md)"

endpoint_option = click.option("--endpoint", default="", help="Only this endpoint; all, if it is not given.")


@click.group("events")
def command() -> None:
    """List and resend events for your backend."""


@command.command()
@endpoint_option
@json_option
def dead(endpoint: str, *, as_json: bool) -> None:
    """List the events that were not sent.

    These are events that an endpoint did not take for a day, the oldest first. They are kept as long as a trail, and at
    most 10,000 for each endpoint.
    """
    settings = load_settings()
    letters = list(_letters(connect(settings), _destinations(settings, endpoint)))
    if as_json:
        print_json({"dead": [_as_json(letter) for letter in letters]})
        return
    for letter in letters:
        click.echo("  ".join(map(plain, _columns(letter))))
    if not letters:
        click.echo("Every event was sent, or is still tried.", err=True)


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Send all events again that could not be sent.")
@endpoint_option
def replay(ids: tuple[str, ...], endpoint: str, *, everything: bool) -> None:
    """Send events again that were not sent.

    ID is the id that `bellhop events dead` shows. An event keeps its id, so that the receiver recognises a repeat. It
    is tried for another day. Exits with 1 if one of the named events is not listed.
    """
    if bool(ids) == everything:
        raise click.UsageError("Name the events, or use --all.")
    settings = load_settings()
    redis, destinations = connect(settings), _destinations(settings, endpoint)
    letters = [letter for letter in _letters(redis, destinations) if everything or letter.event["id"] in ids]
    sent: list[DeadLetter] = []

    def stopped() -> str:
        return f"Stopped: {len(sent)} of {len(letters)} events are queued again. To go on, run the command again."

    with progress(letters, "events", len(letters), stopped) as remaining:
        for letter in remaining:
            send_again(redis, destinations[letter.endpoint], letter, read_time(redis.time()))
            sent.append(letter)
            say_aside(f"{letter.event['id']}: queued again for {letter.endpoint}", err=False)
    missing = sorted(set(ids) - {letter.event["id"] for letter in sent})
    for id_ in missing:
        click.echo(f"{plain(id_)}: there is no such event; `bellhop events dead` lists them", err=True)
    if not letters and not missing:
        click.echo("Every event was sent, or is still tried.")
    sys.exit(1 if missing else 0)


@command.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="Port on 127.0.0.1.")
@json_option
def listen(port: int, *, as_json: bool) -> None:
    """Receive events and print them.

    For development: listens on this machine, and checks signatures with the secrets of BELLHOP_EVENT_SECRETS. Runs
    until you press Ctrl-C.
    """
    secrets = [secret.get_secret_value() for listed in load_settings().event_secrets.values() for secret in listed]
    if not secrets:
        raise click.ClickException("set BELLHOP_EVENT_SECRETS: without a secret, no signature can be checked")
    asyncio.run(_listen(port, secrets, as_json=as_json))


async def _listen(port: int, secrets: list[str], *, as_json: bool) -> None:
    from bellhop.sandbox.event_receiver import EventReceiver, ReceivedEvent  # noqa: PLC0415 - most commands need no HTTP

    def show(received: ReceivedEvent) -> None:
        event = received.event
        if as_json:
            click.echo(json.dumps({"problem": received.problem, "event": event}))
            return
        data = event.get("data", {})
        facts = " ".join(f"{name}={value}" for name, value in data.items() if name not in ("app", "ring_ends_at"))
        click.echo(plain(f"{event.get('timestamp', '')}  {event.get('type', ''):20} {facts}"))
        if received.problem:
            click.secho(plain(f"  the signature is not valid: {received.problem}"), fg="red")

    receiver = EventReceiver(secrets, port=port, on_event=show)
    try:
        await receiver.start()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise click.ClickException(f"port {port} cannot be used ({why}): name another with --port") from None
    click.echo(f"Listening. For a worker on this machine, set the URL of an endpoint to {receiver.url}", err=True)
    click.echo("and BELLHOP_EVENT_ALLOWED_NETWORKS to 127.0.0.1.", err=True)
    try:
        await asyncio.Event().wait()
    finally:
        await receiver.stop()


def _destinations(settings: Settings, name: str) -> dict[str, Destination]:
    """Return the endpoints, or only the one of this name."""
    if not settings.event_endpoints:
        raise click.ClickException(NONE_CONFIGURED)
    known = [endpoint.name for endpoint in settings.event_endpoints]
    if name and name not in known:
        raise click.UsageError(f"there is no endpoint {name}: use {' or '.join(known)}")
    wanted, receivers = [name] if name else known, audience(settings) or Audience()
    return {destination.name: destination for destination in receivers.destinations if destination.name in wanted}


def _letters(redis: Redis, destinations: dict[str, Destination]) -> Iterator[DeadLetter]:
    for name in destinations:
        yield from dead_letters(redis, name)


def _columns(letter: DeadLetter) -> tuple[str, ...]:
    event = letter.event
    given_up = as_datetime(letter.at).strftime("%Y-%m-%d %H:%M:%S")
    return given_up, letter.endpoint, event["id"], event["type"], letter.subject, letter.reason


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "endpoint": letter.endpoint,
        "id": letter.event["id"],
        "type": letter.event["type"],
        "given_up_at": iso(letter.at),
        "reason": letter.reason,
        "event": letter.event,
    }
