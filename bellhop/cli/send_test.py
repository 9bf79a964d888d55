"""`bellhop send-test`: one push to one device, and what came back."""

import time
import uuid

import click

from bellhop.cli.check import advice_on
from bellhop.cli.output import plain
from bellhop.clock import Seconds, from_nanoseconds
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import MEANING, AttemptResult, Outcome
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient, Round
from bellhop.explain.sentences import PROVIDERS
from bellhop.settings import Settings
from bellhop.store import registry
from bellhop.store.async_client import Store

TIMEOUT_S = Seconds(10.0)


async def send_test(settings: Settings, tenant: str, user_id: str, key: str | None, kind: PushKind) -> int:
    """Send one push of `kind` to each device of the user (or to the one with `key`); returns 0 if all were accepted."""
    store = Store.from_url(settings.redis_url)
    from worker.providers.configured import configured  # noqa: PLC0415 - see tests/test_architecture.py

    senders = configured(settings, store)
    try:
        devices = (await registry.read_users(store, tenant, [user_id], "")).devices[user_id]
        chosen = [device for device in devices if key in (None, device.key)]
        pushes = plan(kind, _test_round(tenant, user_id), {user_id: chosen}, from_nanoseconds(time.time_ns())).pushes
        if not pushes:
            click.echo(_why_none(user_id, devices, chosen, key, kind), err=True)
            return 1
        answers = []
        for push in pushes:
            sender = senders.get((push.device.provider, push.device.app))
            answer = await sender.send(push, TIMEOUT_S) if sender else AttemptResult(Outcome.NO_CREDENTIALS)
            answers.append(answer)
            _print(push.device, answer)
        return int(any(answer.outcome is not Outcome.ACCEPTED for answer in answers))
    finally:
        for sender in senders.values():
            await sender.close()
        await store.close()


def _why_none(user_id: str, devices: list[Device], chosen: list[Device], key: str | None, kind: PushKind) -> str:
    if devices and not chosen:
        return f"{user_id} has no device {key}: see `bellhop devices list {user_id}`"
    if not chosen:
        return f"{user_id} has no devices: see `bellhop devices list {user_id}`"
    if kind is PushKind.RING:
        return (
            f"{user_id} has devices for notifications only ({len(chosen)}): an iPhone rings by its token of kind voip"
        )
    return f"{user_id} has devices for calls only ({len(chosen)}): say --kind ring, or register a token of kind alert"


def _test_round(tenant: str, user_id: str) -> Round:
    now = from_nanoseconds(time.time_ns())
    return Round(
        tenant=tenant,
        cid=f"default:bellhop-test-{uuid.uuid4()}",
        session_id="",
        started_at=now,
        deadline=now + 30_000_000,
        caller_id="bellhop",
        caller_name="Bellhop test",
        recipients=(Recipient(id=user_id),),
    )


def _print(device: Device, answer: AttemptResult) -> None:
    color = "green" if answer.outcome is Outcome.ACCEPTED else "red"
    said = " ".join(str(part) for part in (answer.status or "", answer.reason, answer.provider_id) if part)
    where = f", {device.environment}" if device.provider is Provider.APNS else ""
    click.echo(plain(f"{device.key}  {device.label} ({device.app}{where})"))
    meaning = MEANING[answer.outcome]
    sentence = plain(_filled(meaning.sentence, device) + (f" [{said}]" if said else ""))
    click.echo(f"    {click.style(answer.outcome, fg=color)}: {sentence}")
    if advice := advice_on(answer) or _filled(meaning.advice, device):
        click.echo(f"    → {plain(advice)}")


def _filled(text: str, device: Device) -> str:
    return text.format(provider=PROVIDERS[device.provider], app=device.app, user=device.user_id)
