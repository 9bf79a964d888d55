"""Attempts with an unknown result: their worker died, or stood still, before it recorded the provider's answer.

Such an attempt leaves its claim behind. The fence finds the claim when another run asks for the device, and the settle
job finds those that nobody asked about. Either puts the attempt on the trail.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from bellhop.clock import Micros
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import call_scripts, registry
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import LostAttempt
from bellhop.store.keys import devices_key, owner_key
from bellhop.store.retry import until_redis_answers
from bellhop.store.stored_call import StoredCall
from bellhop.telemetry import metrics
from bellhop.trail import PushAttempted, encode

WORKER_DIGITS = 8
"""Characters of a worker's name on the trail: the part that differs between workers."""


class OpenClaim(NamedTuple):
    """A claim in a round that no record has ended."""

    name: str
    """The kind of push; for a repetition, with its number: `alert_ring.2`."""
    device: str
    """The device's key."""
    claim: str
    """As Redis has it: `worker|run|until`."""

    @property
    def kind(self) -> str:
        """The kind of push."""
        return self.name.partition(".")[0]

    @property
    def until(self) -> Micros:
        """The end of its time, by Redis's clock (unix µs)."""
        return Micros(int(self.claim.rpartition("|")[2]))


def open_claims(fields: Mapping[str, str]) -> Iterator[OpenClaim]:
    """Find the claims among the fields of a round. A field `s:<name>:<device key>` holds a claim, or "sent"."""
    for name, value in fields.items():
        if name.startswith("s:") and value != "sent":
            _, of_claim, device = name.split(":", 2)
            yield OpenClaim(of_claim, device, value)


def lost_attempt(claim: OpenClaim, started_at: Micros, user: str, device: Device | None, now: Micros) -> LostAttempt:
    """Describe the attempt of an orphaned claim, found `now`. `device`: None if it is not registered any more."""
    worker, run, _ = claim.claim.rsplit("|", 2)
    apple = device is not None and device.provider is Provider.APNS
    line = PushAttempted(
        at=now,
        round=started_at,
        kind=claim.kind,
        user=user,
        device=claim.device,
        label=device.label if device else "",
        provider=device.provider if device else "",
        environment=device.environment if device and apple else "",
        app=device.app if device else "",
        outcome=Outcome.WORKER_DIED,
        reason=f"worker {worker[-WORKER_DIGITS:]}",
        id=run,  # if the worker lives, its own record replaces this line (record_attempt.lua)
    )
    return LostAttempt(claim.name, claim.device, claim.claim, encode(line))


def count_lost(kind: str, device: Device | None) -> None:
    """Count a lost attempt in the metrics."""
    provider, app = (device.provider, device.app) if device else ("", "")
    metrics.ATTEMPTS.add(provider, app, kind, Outcome.WORKER_DIED, "")


def claimed_until(stored: StoredCall) -> Micros:
    """Return when the last open claim of a call ends, by Stream's clock (unix µs); 0 if none is open now."""
    until = (claim.until for fields in stored.rounds.values() for claim in open_claims(fields))
    last = max((at for at in until if at > stored.redis_now), default=None)
    return Micros(0) if last is None else Micros(last - stored.redis_ahead_us)


async def record_lost_attempts(store: Store, rounds: Mapping[Micros, QueuedRound], stored: StoredCall) -> None:
    """Record the attempts of a call whose claims have outlived their time. Waits while Redis is away.

    The fence does the same, and earlier, if another run asks for the device. But a phone may be signed out by then, or
    its job may have failed for good.
    """
    for started_at, round_ in rounds.items():
        fields = stored.rounds[started_at]
        overdue = [claim for claim in open_claims(fields) if claim.until <= stored.redis_now]
        if not overdue:
            continue
        found = [await until_redis_answers(partial(_find_device, store, round_, fields, claim)) for claim in overdue]
        lost = [
            lost_attempt(claim, started_at, *whose, stored.redis_now)
            for claim, whose in zip(overdue, found, strict=True)
        ]
        command = call_scripts.record_lost_attempts(round_, lost)
        for number in await until_redis_answers(partial(store.script, *command)):
            count_lost(overdue[number - 1].kind, found[number - 1][1])


async def _find_device(
    store: Store, round_: QueuedRound, fields: Mapping[str, str], claim: OpenClaim
) -> tuple[str, Device | None]:
    """Find the recipient of the push that a claim was made for, and the device.

    If the phone has been signed out, it belongs to no user. Then the user is known only if the round has one recipient.
    """
    owner = await store.call("GET", owner_key(round_.tenant, claim.device))
    recipients = [name.removeprefix("u:") for name in fields if name.startswith("u:")]
    user = owner.decode() if owner else ""
    if user not in recipients:
        return (recipients[0] if len(recipients) == 1 else ""), None
    device = await store.call("HGET", devices_key(round_.tenant, user), claim.device)
    return user, next(iter(registry.decode([device] if device else [])), None)
