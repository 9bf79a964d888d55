"""`bellhop payload`: print what a push would carry, with the team's own texts and data. Nothing is sent."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from bellhop.cli.options import choice, load_settings
from bellhop.clock import Micros, from_nanoseconds
from bellhop.domain.device import Device, Kind, Platform, Provider, RingsBy
from bellhop.domain.own_pushes import PushTemplates
from bellhop.domain.payloads import EVENT, most_bytes, size_of
from bellhop.domain.plan import plan
from bellhop.domain.push import STARTED, Push, PushKind
from bellhop.domain.round import Recipient, Round
from bellhop.i18n.texts import Texts
from bellhop.sandbox.stream_webhooks import SAMPLES
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes

SAMPLE_MEMBER = Recipient(id="jane-morel", name="Jane Morel")
TOKENS: dict[Provider, dict[str, Any]] = {
    Provider.APNS: {"token": "00" * 32},
    Provider.FCM: {"token": "token"},
    Provider.WEB_PUSH: {
        "token": "https://fcm.googleapis.com/fcm/send/token",
        "p256dh": "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        "auth": "A" * 22,
    },
}
"""What stands for the push token of a phone, or for the subscription of a browser."""


@click.command("payload")
@click.option("--kind", type=choice(PushKind), required=True, help="Kind of push.")
@click.option("--provider", type=choice(Provider), required=True, help="Who delivers it.")
@click.option("--app", default="", help="Bundle id, Firebase project or web app. By default the first of the settings.")
@click.option(
    "--call",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the JSON of a webhook of Stream. By default a sample.",
)
@click.option("--platform", type=choice(Platform), help="Which phone Google delivers to.")
@click.option("--language", default="", help='Language of the receiver, such as "de". By default the event\'s.')
def command(kind: str, provider: str, app: str, file: Path | None, platform: str | None, language: str) -> None:
    """Print what a push would carry, as JSON.

    The call is a sample of Stream's, or the webhook in a file. The push is for the first member that the webhook names,
    or for a sample member. Prints to standard error how large the push is, and what of your own does not fit. Exits
    with 1 if the file of your own pushes has mistakes.
    """
    settings = load_settings()
    own = read_pushes(settings)
    for problem in own.problems:
        click.echo(problem, err=True)
    if own.problems:
        sys.exit(1)
    path = file or SAMPLES / f"{EVENT[PushKind(kind)]}.json"
    round_ = _round(settings, path, language)
    app = app or next((name for known, name in sorted(settings.push_apps) if known == provider), "com.example.app")
    device = _device(PushKind(kind), Provider(provider), app, Platform(platform) if platform else None, round_)
    push = _push(settings, own.templates, PushKind(kind), round_, device)
    click.echo(json.dumps(_shown(push), indent=2, ensure_ascii=False))
    size, limit = size_of(push.device.provider, push.payload, push.aps), most_bytes(push.device.provider, push.kind)
    click.echo(f"{size:,} of {limit:,} bytes", err=True)
    if push.left_out:
        click.echo(f"left out: {', '.join(push.left_out)}", err=True)


def _round(settings: Settings, path: Path, language: str) -> Round:
    """Read the round that the webhook in the file begins, as the web process does."""
    from webhook.intake.effects import EffectRules, effects  # noqa: PLC0415 - see tests/test_architecture.py
    from webhook.intake.events import UnreadableEvent  # noqa: PLC0415
    from webhook.intake.parsing import parse  # noqa: PLC0415

    rules = EffectRules(
        settings.tenants[0],
        settings.ring_default_s,
        settings.missed_grace_s,
        call_fields=tuple(settings.push_call_fields),
        caller_fields=tuple(settings.push_caller_fields),
    )
    now = from_nanoseconds(time.time_ns())
    try:
        event = parse(path.read_bytes(), rules.caller_fields)
    except UnreadableEvent as error:
        raise click.ClickException(f"{path} is not a webhook: {error}") from None
    call_type = event.cid.partition(":")[0]
    rules = msgspec.structs.replace(rules, started=dict.fromkeys(STARTED.values(), frozenset({call_type})))
    derived = effects(event, event.at or now, rules)
    round_ = derived.missed or getattr(derived.work, "payload", None)
    if not isinstance(round_, Round):
        raise click.ClickException(f"{path} is {event.type}: a {', '.join(EVENT.values())} is needed")
    receiver = round_.recipients[0] if round_.recipients else SAMPLE_MEMBER
    receiver = receiver.model_copy(update={"language": language or receiver.language})
    return round_.model_copy(update={"recipients": (receiver,)})


def _device(kind: PushKind, provider: Provider, app: str, platform: Platform | None, round_: Round) -> Device:
    by_alert = provider is Provider.APNS and kind in {PushKind.ALERT_RING, PushKind.RING_OVER}
    return Device(
        user_id=round_.recipients[0].id,
        provider=provider,
        kind=Kind.VOIP if kind is PushKind.RING else Kind.ALERT,
        hardware_id="iPhone" if by_alert else "",
        rings=RingsBy.ALERT if by_alert else RingsBy.VOIP,
        **TOKENS[provider],
        app=app,
        platform=platform,
    )


def _push(settings: Settings, templates: PushTemplates, kind: PushKind, round_: Round, device: Device) -> Push:
    pushes = plan(
        kind,
        round_,
        {device.user_id: [device]},
        Micros(round_.started_at),
        texts=Texts(settings.templates_folder, settings.default_language),
        ticket_secret=settings.receipt_secret.get_secret_value().encode(),
        templates=templates,
    ).pushes
    if not pushes:
        raise click.ClickException(f"a push of the kind {kind} does not go through {device.provider}")
    return pushes[0]


def _shown(push: Push) -> Mapping[str, Any]:
    """Return what the provider gets: for Google a message in the form of its interface, without the token."""
    if push.device.provider is not Provider.FCM:
        return push.payload
    options = push.options
    message: dict[str, Any] = {"data": push.payload, "android": {"priority": "HIGH" if options.urgent else "NORMAL"}}
    if push.aps is not None:
        message["apns"] = {"payload": {"aps": push.aps}}
    if options.analytics_label:
        message["fcm_options"] = {"analytics_label": options.analytics_label}
    return message
