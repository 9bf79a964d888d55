"""`bellhop send-test`: send one push and show the provider's answer."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from bellhop.cli.connection import connect
from bellhop.cli.options import choice, load_settings, select_tenant, tenant_option, user_argument
from bellhop.cli.output import plain
from bellhop.clock import Micros, Seconds, from_nanoseconds
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import MEANING, Action, AttemptResult, Outcome, advice_on
from bellhop.domain.plan import plan
from bellhop.domain.push import Push, PushKind, in_other_environment
from bellhop.domain.round_of_test import new_id, round_of_test
from bellhop.domain.user import User, push_refusal, refusal_facts
from bellhop.explain.sentences import PROVIDERS, phone_name
from bellhop.explain.skip_facts import muted_until, quiet_hours
from bellhop.i18n.texts import Texts
from bellhop.settings import Settings
from bellhop.settings.pushes_file import read_pushes
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.registered_devices import differ_in_capitals, in_other_capitals, only_for_notices
from bellhop.telemetry import logs

if TYPE_CHECKING:
    from worker.providers.configured import Senders
    from worker.providers.sender import Sender

TIMEOUT_S = Seconds(10.0)
BY_ALERT = "iPhones that ring by alerts (docs/alert-rings.md)"
NOT_FOR_ALL = {PushKind.ALERT_RING: BY_ALERT, PushKind.RING_OVER: f"browsers and {BY_ALERT}"}


@click.command("send-test")
@user_argument
@click.option("--device", "key", help="Only the device with this key (see `bellhop devices list`).")
@click.option(
    "--kind",
    type=choice(PushKind),
    default=str(PushKind.NOTIFICATION),
    show_default=True,
    help="Kind of push. `ring` makes the phone ring.",
)
@tenant_option
def command(user_id: str, key: str | None, kind: str, tenant: str) -> None:
    """Send one push to the devices of USER_ID.

    Prints the answer of Apple, Google or the browser's push service for each device. As a real ring does, it tries
    Apple's other environment if a token is not of the registered one. It sends to a muted user too, and says so. Exits
    with 1 if a push was not accepted.
    """
    settings = load_settings("worker")
    logs.configure(settings.log_format, "error")
    tenant = select_tenant(settings, tenant)
    sys.exit(asyncio.run(_send_test(settings, tenant, user_id, key, PushKind(kind))))


async def _send_test(settings: Settings, tenant: str, user_id: str, key: str | None, kind: PushKind) -> int:
    store = Store.from_url(settings.redis_url)
    senders = _senders(settings, store)
    try:
        read = await registry.read_users(store, tenant, [user_id], "")
        devices, user = read.devices[user_id], read.users.get(user_id, User())
        chosen = [device for device in devices if key in (None, device.key)]
        now = from_nanoseconds(time.time_ns())
        pushes = plan(
            kind,
            round_of_test(tenant, user_id, now, new_id()),
            {user_id: chosen},
            now,
            texts=Texts(settings.templates_folder, settings.default_language),
            templates=read_pushes(settings).templates,
        ).pushes
        if not pushes:
            others = {} if devices else in_other_capitals(connect(settings), tenant, user_id)
            why = differ_in_capitals(user_id, others) or _why_no_push(user_id, devices, chosen, key, kind)
            click.echo(plain(why), err=True)
            return 1
        if silent := _why_silent(user, now):
            click.echo(plain(f"{user_id} {silent}: a call sends no push now. The test is sent all the same."))
        status = 0
        for push in pushes:
            sender = senders.get((push.device.provider, push.device.app))
            sent, result = await _send(sender, push) if sender else (push, AttemptResult(Outcome.NO_CREDENTIALS))
            _print(push.device, result)
            if sent is not push:
                await store.script(*registry.replace(tenant, push.device, sent.device))
                was, is_now = push.device.environment, sent.device.environment
                click.echo(
                    f"    → It was registered as {was}, and its token is of {is_now}: corrected in the registry."
                )
            if result.outcome is not Outcome.ACCEPTED:
                status = 1
        return status
    finally:
        for sender in senders.values():
            await sender.close()
        await store.close()


def _senders(settings: Settings, store: Store) -> "Senders":
    from worker.providers.configured import configured_senders  # noqa: PLC0415 - see tests/test_architecture.py

    try:
        return configured_senders(settings, store)
    except (ValueError, OSError) as error:
        raise click.ClickException(f"credentials do not load: {error}. Run `bellhop check`") from None


def _why_no_push(user_id: str, devices: list[Device], chosen: list[Device], key: str | None, kind: PushKind) -> str:
    if devices and not chosen:
        return f"{user_id} has no device {key}: see `bellhop devices list {user_id}`"
    if not chosen:
        return f"{user_id} has no devices: run `bellhop devices import-stream {user_id}` or `bellhop devices add`"
    if kind is PushKind.RING:
        return f"{only_for_notices({user_id: len(chosen)})}. Register it too, with kind voip"
    if kind in NOT_FOR_ALL:
        return f"{user_id} has no device that gets a push of the kind {kind}: only {NOT_FOR_ALL[kind]} get it"
    return f"{user_id} has only devices for calls: use --kind ring, or register a token of kind alert"


async def _send(sender: "Sender", push: Push) -> tuple[Push, AttemptResult]:
    """Send a push; returns it, or the same push to Apple's other environment if the token is of that one."""
    result = await sender.send(push, TIMEOUT_S)
    if push.device.provider is Provider.APNS and MEANING[result.outcome].action is Action.SWITCH_ENVIRONMENT:
        other = in_other_environment(push)
        other_result = await sender.send(other, TIMEOUT_S)
        if other_result.outcome is Outcome.ACCEPTED:
            return other, other_result
    return push, result


def _why_silent(user: User, now: Micros) -> str:
    """Return why a call that begins now would send no push to the user; empty if it would."""
    refusal = push_refusal(user, now)
    facts = refusal_facts(user, refusal) if refusal else ""
    if refusal is Outcome.DEACTIVATED:
        return "is deactivated at Stream"
    if refusal is Outcome.MUTED:
        return f"has muted calls{muted_until(facts)}"
    return f"has quiet hours{quiet_hours(facts)}" if refusal is Outcome.QUIET_HOURS else ""


def _print(device: Device, result: AttemptResult) -> None:
    color = "green" if result.outcome is Outcome.ACCEPTED else "red"
    answer = " ".join(str(part) for part in (result.status or "", result.reason, result.provider_id) if part)
    environment = f", {device.environment}" if device.provider is Provider.APNS else ""
    click.echo(plain(f"{device.key}  {phone_name(device.label)} ({device.app}{environment})"))
    meaning = MEANING[result.outcome]
    sentence = plain(_fill_in(meaning.sentence, device) + (f" [{answer}]" if answer else ""))
    click.echo(f"    {click.style(result.outcome, fg=color)}: {sentence}")
    if advice := advice_on(result) or _fill_in(meaning.advice, device):
        click.echo(f"    → {plain(advice)}")


def _fill_in(text: str, device: Device) -> str:
    return text.format(provider=PROVIDERS[device.provider], app=device.app, user=device.user_id)
