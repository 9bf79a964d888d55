"""Whom to push what: (round, devices, people, now) -> pushes and skips, each skip with its reason. Pure."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bellhop.domain.device import Device, Kind, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.payloads import payload
from bellhop.domain.push import Push, PushKind, named_uuid
from bellhop.domain.round import Recipient, Round
from bellhop.domain.ticket import Ticket, sign
from bellhop.domain.user import NOBODY, User, objection
from bellhop.i18n.texts import BUILT_IN, Texts, Wording

MISSED_TTL_S = 24 * 3600
"""How long a provider may keep trying to deliver a missed-call notice."""
TOKENS_TRIED = 3
"""Of one phone, one after the other, when a provider does not know the first."""
COLLAPSE_ID_BYTES = 64
"""Apple's limit for apns-collapse-id."""


class Skip(NamedTuple):
    """A user, or one device of theirs, that gets no push, and why."""

    user_id: str
    reason: Outcome
    device: Device | None = None


class Plan(NamedTuple):
    """What to send, and what not."""

    pushes: list[Push]
    skips: list[Skip]


def plan(
    kind: PushKind,
    round_: Round,
    devices: Mapping[str, Sequence[Device]],
    now: float,
    people: Mapping[str, User] = NOBODY,
    texts: Texts = BUILT_IN,
    receipt_secret: bytes = b"",
    recipients: Sequence[Recipient] | None = None,
) -> Plan:
    """Make one push for each device that this kind is for, unless its user wants none. `now` in unix seconds.

    With a `receipt_secret`, a ring carries a receipt. `recipients` are those to plan for, if not all of the round's.
    """
    pushes: list[Push] = []
    skips: list[Skip] = []
    for recipient in round_.recipients if recipients is None else recipients:
        person = people.get(recipient.id)
        if person is not None and (reason := objection(person, round_.started_at)) is not None:
            skips.append(Skip(recipient.id, reason))
            continue
        suitable = [device for device in devices.get(recipient.id, ()) if _suits(kind, device)]
        wording = texts.wording((person and person.contact.language) or recipient.language)
        for phone in _phones(suitable):
            push: Push | None = None
            for device in phone[-TOKENS_TRIED:]:
                push = _push(kind, round_, recipient, device, now, wording, receipt_secret, push)
            pushes += [push] if push else []
            skips += [Skip(recipient.id, Outcome.SAME_PHONE, device) for device in phone[:-1]]
        if not suitable:
            skips.append(Skip(recipient.id, Outcome.NO_DEVICES))
    return Plan(pushes, skips)


def _suits(kind: PushKind, device: Device) -> bool:
    """Decide by the provider first: Flutter registers its Android tokens as VoIP ones.

    A VoIP push is for a ring and nothing else: iOS makes every app ring for each one it gets, and punishes those
    that do not.
    """
    return device.provider is Provider.FCM or (device.kind is Kind.VOIP) == (kind is PushKind.RING)


def _phones(devices: Iterable[Device]) -> Iterable[list[Device]]:
    """The tokens of each phone, the one to use last: APNs before FCM, then the newest.

    Phones nobody named are each their own.
    """
    by_phone: dict[str, list[Device]] = {}
    for device in sorted(devices, key=lambda d: (d.provider is Provider.APNS, d.registered_at, d.key)):
        by_phone.setdefault(device.hardware_id or device.key, []).append(device)
    return by_phone.values()


def _push(
    kind: PushKind,
    round_: Round,
    recipient: Recipient,
    device: Device,
    now: float,
    wording: Wording,
    receipt_secret: bytes,
    instead: Push | None,
) -> Push:
    # A notice goes out because the round is over.
    deadline = now + MISSED_TTL_S if kind is PushKind.MISSED else round_.deadline / 1e6
    # The id is made from what the push is, so that a crash and a retry give the same push the same apns-id.
    name = f"{round_.tenant}|{round_.cid}|{round_.started_at}|{kind}|{device.key}"
    receipt = ""
    if receipt_secret and kind is PushKind.RING:
        told = Ticket(round_.tenant, round_.cid, round_.started_at, device.provider, device.key)
        receipt = sign(receipt_secret, told)
    return Push(
        id=named_uuid(uuid.NAMESPACE_OID, name),
        kind=kind,
        device=device,
        payload=payload(
            device.provider, kind, round_, recipient, int(now * 1000), int(deadline * 1000), wording, receipt
        ),
        deadline=deadline,
        round=round_.started_at,
        since=round_.queued_at / 1e6,
        collapse_id=None if kind is PushKind.RING else _collapse_id(kind, round_),
        instead=instead,
    )


def _collapse_id(kind: PushKind, round_: Round) -> str:
    """A later notice of the same call replaces the earlier one on the phone."""
    text = f"{kind}:{round_.cid}"
    fits = len(text) <= COLLAPSE_ID_BYTES and text.isascii() and text.isprintable()  # it goes into a header
    return text if fits else named_uuid(uuid.NAMESPACE_OID, text)
