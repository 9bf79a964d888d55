"""Which device gets which push: (round, devices, users, now) -> pushes and skips, each skip with its reason. Pure."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bellhop.clock import MICROS_PER_SECOND, Micros, as_datetime
from bellhop.domain.device import Device, Kind, Platform, Provider, number_of_devices
from bellhop.domain.outcomes import Outcome
from bellhop.domain.own_pushes import NO_TEMPLATES, PushTemplates
from bellhop.domain.payloads import PushFacts, build_payload
from bellhop.domain.push import FURTHER_RINGS, NOT_URGENT, QUIET, RINGING, URGENT, Push, PushKind, named_uuid
from bellhop.domain.round import Recipient, Round
from bellhop.domain.ticket import Ticket, sign_ticket
from bellhop.domain.user import NO_USER, NO_USERS, User, push_refusal, refusal_facts
from bellhop.domain.web_push import topic
from bellhop.i18n.texts import BUILT_IN, Texts, Wording

MISSED_TTL_US = 24 * 3600 * MICROS_PER_SECOND
"""How long a provider may keep trying to deliver a missed-call notice."""
OVER_TTL_US = 60 * MICROS_PER_SECOND
"""How long after the ring's deadline Apple may keep trying to deliver the push about its end. A browser removes an old
ring itself."""
TOKENS_TRIED = 3
"""A push tries up to this many tokens of one phone: the next one if the provider reports the last one as dead."""
COLLAPSE_ID_BYTES = 64
"""Apple's limit for apns-collapse-id."""
REPLACED = FURTHER_RINGS | {PushKind.RING_OVER}
"""Alerts about a ring. On an iPhone, each replaces the one before it, and the missed-call notice replaces the last."""
NO_BADGES: Mapping[str, int] = {}
PREFERENCE = {Provider.WEB_PUSH: 0, Provider.FCM: 1, Provider.APNS: 2}
"""If a phone has several tokens, a token with the greatest number is used."""


class Skip(NamedTuple):
    """A user who gets no push, or a single device of a user that gets none, and the reason."""

    user_id: str
    reason: Outcome
    device: Device | None = None
    facts: str = ""
    """What the trail says beside the reason, such as the user's quiet hours."""


class Plan(NamedTuple):
    """The pushes to send, and the users and devices that get none."""

    pushes: list[Push]
    skips: list[Skip]


def plan(
    kind: PushKind,
    round_: Round,
    devices: Mapping[str, Sequence[Device]],
    now: Micros,
    users: Mapping[str, User] = NO_USERS,
    texts: Texts = BUILT_IN,
    ticket_secret: bytes = b"",
    recipients: Sequence[Recipient] | None = None,
    queued_at: Micros = Micros(0),
    still_rings: bool = False,
    templates: PushTemplates = NO_TEMPLATES,
    badges: Mapping[str, int] = NO_BADGES,
) -> Plan:
    """Make one push for each phone that this kind of push is for, unless its user wants none.

    `devices` and `users` are by user id. With a `ticket_secret`, a ring carries a ticket. `recipients` limits the plan
    to some recipients of the round. `queued_at` is when the round's job was queued, 0 if that is not known.
    `still_rings` skips devices that may still ring, and that this push would stop. `templates` are the team's own.
    `badges` are the numbers for the app's icon, by user id; no number for other users.
    """
    maker = _PushMaker(kind, round_, now, ticket_secret, queued_at, templates)
    planned = Plan([], [])
    for recipient in round_.recipients if recipients is None else recipients:
        user = users.get(recipient.id, NO_USER).for_call(recipient, round_.caller_id)
        refusal = push_refusal(user, round_.started_at)
        if refusal is not None:
            planned.skips.append(Skip(recipient.id, refusal, facts=refusal_facts(user, refusal)))
            continue
        registered = devices.get(recipient.id, ())
        suitable = [device for device in registered if suits(kind, device)]
        if not suitable:
            facts = number_of_devices(len(registered))
            planned.skips.append(Skip(recipient.id, Outcome.NO_DEVICES, facts=facts))
        skips = list(_skips(kind, user, recipient, suitable, still_rings=still_rings))
        planned.skips.extend(skips)
        skipped = [skip.device for skip in skips]
        language = user.contact.language or recipient.language
        receiver = _Receiver(recipient, language, texts.wording(language), badges.get(recipient.id))
        for phone in _phones(device for device in suitable if device not in skipped):
            planned.pushes.append(maker.push_to_phone(receiver, phone))
            planned.skips.extend(Skip(recipient.id, Outcome.SAME_PHONE, device) for device in phone[:-1])
    return planned


def _skips(
    kind: PushKind, user: User, recipient: Recipient, suitable: Sequence[Device], *, still_rings: bool
) -> Iterator[Skip]:
    """Yield a skip for each suitable device that gets no push: the first reason that holds."""
    unused = beside_alerts(suitable) if kind is PushKind.RING else []
    may_be_disabled = user.disabled_phones and kind is not PushKind.RING_OVER
    for device in suitable:
        disabled_at = user.disabled_since(device.phone_names) if may_be_disabled else None
        if device in unused:
            yield Skip(recipient.id, Outcome.SAME_PHONE, device)
        elif disabled_at is not None:
            yield Skip(recipient.id, Outcome.DISABLED, device, as_datetime(disabled_at).isoformat())
        elif still_rings and ends_the_ring(kind, device):
            yield Skip(recipient.id, Outcome.STILL_RINGS, device)


def suits(kind: PushKind, device: Device) -> bool:
    """Tell whether this kind of push goes to the device.

    A browser and an FCM token get every kind of push: Flutter registers its Android tokens as VoIP tokens, so their
    kind says nothing. A VoIP token gets rings only: iOS requires that the app rings for each VoIP push, and otherwise
    stops delivering them.
    """
    if kind is PushKind.RING_OVER:
        return device.provider is Provider.WEB_PUSH or device.rings_by_alert
    if kind is PushKind.ALERT_RING:
        return device.rings_by_alert
    if device.provider is not Provider.APNS:
        return True
    if kind is PushKind.RING:
        return device.kind is Kind.VOIP or device.rings_by_alert
    return device.kind is Kind.ALERT


def ends_the_ring(kind: PushKind, device: Device) -> bool:
    """Tell whether the phone stops ringing at this push.

    Stream's Android SDKs leave a call that was missed. A browser, and an iPhone that rings by alerts, show the notice
    in place of the ring.
    """
    return kind is PushKind.MISSED and (not device.is_on_iphone or device.rings_by_alert)


def beside_alerts(devices: Sequence[Device]) -> list[Device]:
    """Return the unused tokens of phones that ring by alerts. A VoIP push to them would show the call a second time."""
    by_alert = {device.hardware_id for device in devices if device.rings_by_alert}
    return [device for device in devices if device.hardware_id in by_alert and not device.rings_by_alert]


def _phones(devices: Iterable[Device]) -> Iterable[list[Device]]:
    """Group devices (push tokens) by phone. The last device of a phone is the one to use.

    An APNs token is preferred to an FCM token, both to a browser's, and a newer token to an older one. A token without
    a hardware id counts as a separate phone.
    """
    by_phone: dict[str, list[Device]] = {}
    for device in sorted(devices, key=_preference):
        by_phone.setdefault(device.hardware_id or device.key, []).append(device)
    return by_phone.values()


def _preference(device: Device) -> tuple[int, Micros, str]:
    """Return a key that is greater for a device to prefer. The device's key makes the order unambiguous."""
    return (PREFERENCE[device.provider], device.registered_at, device.key)


class _Receiver(NamedTuple):
    """A recipient, with the texts in their language."""

    recipient: Recipient
    language: str
    """Empty if it is not known."""
    wording: Wording
    badge: int | None
    """The number for the app's icon; None for none."""


@dataclass(frozen=True, slots=True)
class _PushMaker:
    """Makes the pushes of one kind about one round."""

    kind: PushKind
    round: Round
    now: Micros
    ticket_secret: bytes
    queued_at: Micros
    templates: PushTemplates

    def push_to_phone(self, receiver: _Receiver, phone: Sequence[Device]) -> Push:
        """Make the push to the phone's last token. Its `instead` is the push to the token before, and so on."""
        push: Push | None = None
        for device in phone[-TOKENS_TRIED:]:
            push = self._push(receiver, device, push)
        assert push is not None  # noqa: S101 - a phone has at least one token
        return push

    def _push(self, receiver: _Receiver, device: Device, instead: Push | None) -> Push:
        round_, deadline = self.round, self._deadline(device.provider)
        # The id depends only on these facts, so the push gets the same apns-id when its job runs again after a crash.
        name = f"{round_.tenant}|{round_.cid}|{round_.started_at}|{self.kind}|{device.key}"
        by_alert = device.rings_by_alert and self.kind in (PushKind.RING, PushKind.ALERT_RING)
        shown_as = PushKind.ALERT_RING if by_alert else self.kind
        template = self.templates.of(shown_as, device.provider, device.app, round_.shown_cid or round_.cid)
        own = template.fill(self.kind, round_, *receiver[:3]) if template else None
        facts = PushFacts(
            self.kind,
            round_,
            receiver.recipient,
            self.now // 1000,
            deadline // 1000,
            receiver.wording,
            self._ticket(device),
            own,
            device.platform is Platform.IOS,
            receiver.badge,
            by_alert,
        )
        built = build_payload(device.provider, facts)
        usual = NOT_URGENT if self.kind in QUIET and device.provider is not Provider.APNS else URGENT
        return Push(
            id=named_uuid(uuid.NAMESPACE_OID, name),
            kind=self.kind,
            device=device,
            payload=built.payload,
            deadline=deadline,
            round=round_.started_at,
            queued_at=self.queued_at,
            collapse_id=_collapse_id(shown_as, round_, device.provider),
            instead=instead,
            options=template.options(usual) if template else usual,
            aps=built.aps,
            left_out=built.left_out,
            tenant=round_.tenant,
        )

    def _deadline(self, provider: Provider) -> Micros:
        """Return when the push expires. A push that replaces a ring may be sent after the deadline of the round."""
        if self.kind is PushKind.MISSED:
            return Micros(self.now + MISSED_TTL_US)
        if self.kind is PushKind.RING_OVER and provider is Provider.APNS:
            return Micros(max(self.now, self.round.deadline) + OVER_TTL_US)
        return self.round.deadline

    def _ticket(self, device: Device) -> str:
        if not self.ticket_secret or self.kind not in RINGING:
            return ""
        ring = Ticket(self.round.tenant, self.round.cid, self.round.started_at, device.provider, device.key)
        return sign_ticket(self.ticket_secret, ring)


def _collapse_id(kind: PushKind, round_: Round, provider: Provider) -> str | None:
    """Return the id by which a later notice of the same call replaces the earlier one on the phone.

    The notice of a missed call also replaces alerts that rang the phone. At a browser's push service, it replaces the
    call's ring too, if that still waits.
    """
    if provider is Provider.WEB_PUSH:
        return topic(round_.tenant, round_.cid)
    if kind is PushKind.RING:
        return None
    text = f"{PushKind.MISSED if kind in REPLACED else kind}:{round_.cid}"
    fits = len(text) <= COLLAPSE_ID_BYTES and text.isascii() and text.isprintable()  # it becomes a header
    return text if fits else named_uuid(uuid.NAMESPACE_OID, text)
