"""What Bellhop tells others about a ring: the types, the public document, and what a caller may be told. Pure.

Others are the caller's app (Stream's custom event), the team's backend (events out), and open live streams. All of them
get the same vocabulary. The document is public: a field keeps its name and meaning, and new fields may be added.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bellhop.clock import Micros, iso
from bellhop.domain.device import Device
from bellhop.domain.json_text import encoded
from bellhop.domain.outcomes import Outcome
from bellhop.domain.round import Round


class AnnouncementType(StrEnum):
    """What has happened."""

    REACHED = "ring.reached"
    """A provider accepted the first push for this user."""
    RINGING = "ring.ringing"
    """A phone of this user reported that it rings."""
    UNREACHABLE = "ring.unreachable"
    """No phone of this user rings: there is none, all tokens are dead, the user is muted, or all attempts failed."""
    ENDED = "ring.ended"
    """The ring is over for this user, and has a final standing."""
    MISSED_NOTICE = "call.missed_notice"
    """The user was sent a missed-call notice."""
    DEVICE_REMOVED = "device.removed"
    """A device left the registry: somebody removed it, another took its place, or its provider says that it is dead."""
    ALARM = "alarm"
    """Something in this installation needs an operator."""


CALLER_TYPES = frozenset({AnnouncementType.REACHED, AnnouncementType.RINGING, AnnouncementType.UNREACHABLE})
"""What Bellhop tells the caller's app, by Stream's custom event."""
STREAM_DESTINATION = "stream"
"""The name of the destination that is the caller's app. No endpoint may have this name."""
CUSTOM_PREFIX = "bellhop."
"""The start of a custom event's type: `bellhop.ring.ringing`."""
CUSTOM_FIELDS = ("user_id", "ring_started_at")
"""The fields of a document that a custom event has. Every participant of the call receives it."""
PRIVATE_FIELDS = frozenset({"reason", "by"})
"""The fields of a document that are for the team's backend alone."""

DEAD_ENDS = (
    *(Outcome.CALLER_BLOCKED, Outcome.DEACTIVATED, Outcome.MUTED, Outcome.QUIET_HOURS, Outcome.CALLEE_LIMIT),
    *(Outcome.NO_DEVICES, Outcome.DISABLED, Outcome.NO_CREDENTIALS, Outcome.GAVE_UP, Outcome.TOO_LATE),
    *(Outcome.CREDENTIALS_REFUSED, Outcome.WRONG_APP, Outcome.NO_APNS_KEY, Outcome.TOO_LARGE, Outcome.BAD_REQUEST),
    *(Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.SIGNED_OUT),
)
"""The final outcomes after which a phone does not ring. If a user has several of them, the first one here is the
reason."""

REMOVED = "removed"
"""The reason if an app, a backend or a command removed a device."""
MOVED = "moved"
"""The reason if another user registered the token."""
TOO_MANY = "too_many"
"""The reason if the user had too many devices, and this was the oldest."""
UNUSED = "unused"
"""The reason if the device was not used for as many days as the settings say."""

SAYS_WHY = {AnnouncementType.UNREACHABLE: "reason", AnnouncementType.MISSED_NOTICE: "by"}
"""The field that says why or how, by the type of the announcement. This field is private."""
_NOT_BEFORE = {
    AnnouncementType.REACHED: (AnnouncementType.RINGING, AnnouncementType.ENDED),
    AnnouncementType.RINGING: (AnnouncementType.ENDED,),
    AnnouncementType.UNREACHABLE: (AnnouncementType.REACHED, AnnouncementType.RINGING, AnnouncementType.ENDED),
}
"""For each type: the types after which it is not announced any more."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One fact that Bellhop announces once."""

    type: AnnouncementType
    tenant: str
    subject: str
    """What it is about: a call's cid, `device:<key>`, or `alarm`. Facts about one subject are announced in order."""
    at: Micros
    """When Bellhop found it out, by Redis's clock."""
    id: str
    """The same for every repeat of the same fact."""
    user_id: str = ""
    """The callee; empty if it is not about a user."""
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def told_field(self) -> str:
        """The field of the round that records when this was announced (unix µs)."""
        return told_field(self.type, self.user_id)

    @property
    def because(self) -> tuple[str, str] | None:
        """The field of the round for why or how this happened, and its value; None if this is not known."""
        name = SAYS_WHY.get(self.type)
        return (because_field(self.type, self.user_id), self.data[name]) if name and name in self.data else None

    @property
    def told_instead(self) -> list[str]:
        """The fields of the round after which this is not announced any more."""
        return [told_field(other, self.user_id) for other in _NOT_BEFORE.get(self.type, ())]

    @property
    def needs_ringing(self) -> bool:
        """Whether it is announced only while the ring goes on for this user: receipts may come late."""
        return self.type in (AnnouncementType.RINGING, AnnouncementType.UNREACHABLE)

    @property
    def outlives_round(self) -> bool:
        """Whether it is announced even if Redis has forgotten the round: an e-mail may be sent a day later. Without the
        round, each repeat is announced, with the same id."""
        return self.type is AnnouncementType.MISSED_NOTICE

    @property
    def public(self) -> dict[str, Any]:
        """The public document."""
        return {"id": self.id, "type": self.type, "timestamp": iso(self.at), "data": self.data}

    def document(self) -> str:
        """Write the public document as JSON."""
        return encoded(self.public).decode()


def told_field(type_: AnnouncementType, user_id: str) -> str:
    """Name the field of a round that records when this was announced."""
    return f"told:{type_.removeprefix('ring.')}:{user_id}"


def because_field(type_: AnnouncementType, user_id: str) -> str:
    """Name the field of a round for the value of the announcement's field in `SAYS_WHY`."""
    return f"because:{type_.removeprefix('ring.')}:{user_id}"


def read_because(fields: Mapping[str, str], type_: AnnouncementType, user_id: str) -> dict[str, str]:
    """Read this value from the fields of a round; returns the field of the announcement, empty if there is no value."""
    value = fields.get(because_field(type_, user_id))
    return {} if value is None else {SAYS_WHY[type_]: value}


def read_told(fields: Mapping[str, str]) -> dict[tuple[AnnouncementType, str], Micros]:
    """Read from a round's fields when each type was announced for each user. Fields of unknown types are left out."""
    told = {}
    for name, at in fields.items():
        if name.startswith("told:"):
            short, _, user_id = name.removeprefix("told:").partition(":")
            if (type_ := _BY_SHORT_NAME.get(short)) is not None:
                told[type_, user_id] = Micros(int(at))
    return told


_BY_SHORT_NAME = {type_.removeprefix("ring."): type_ for type_ in AnnouncementType}


def about_ring(type_: AnnouncementType, round_: Round, user_id: str, at: Micros, **data: str) -> Announcement:
    """Announce something about one user in one round. `data` are further fields of the document."""
    fields = {
        "app": round_.tenant,
        "call_cid": round_.cid,
        "ring_started_at": iso(round_.started_at),
        "ring_ends_at": iso(round_.deadline),
        "caller_id": round_.caller_id,
        "user_id": user_id,
    }
    identity = (round_.tenant, round_.cid, str(round_.started_at), user_id, type_)
    return Announcement(type_, round_.tenant, round_.cid, at, event_id(*identity), user_id, fields | data)


def device_removed(tenant: str, device: Device, at: Micros, reason: str) -> Announcement:
    """Announce that a registration of a device has ended. `reason`: one of those above, or what the provider said."""
    fields = {
        "app": tenant,
        "user_id": device.user_id,
        "device": device.key,
        "provider": device.provider,
        "app_id": device.app,
        "reason": reason,
    }
    type_ = AnnouncementType.DEVICE_REMOVED
    id_ = event_id(tenant, device.user_id, device.key, str(device.registered_at), type_)
    return Announcement(type_, tenant, f"device:{device.key}", at, id_, device.user_id, fields)


def alarm(name: str, subject: str, sentence: str, at: Micros) -> Announcement:
    """Announce that something about `subject` needs an operator. An alarm belongs to no Stream app."""
    fields = {"name": name, "subject": subject, "sentence": sentence}
    id_ = event_id(name, subject, str(at), AnnouncementType.ALARM)
    return Announcement(AnnouncementType.ALARM, "", "alarm", at, id_, data=fields)


def event_id(*identity: str) -> str:
    """Name a fact by what identifies it, so that each repeat has the same name."""
    return "evt_" + hashlib.sha256(encoded(identity)).hexdigest()[:32]


def dead_end(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return why none of a user's phones rings, by the final outcomes of all of them; None if one may ring.

    A phone may ring, or need not ring any more, after every outcome that is not in DEAD_ENDS.
    """
    final = set(outcomes) - {Outcome.SAME_PHONE}
    if not final or not final.issubset(DEAD_ENDS):
        return None
    return next(outcome for outcome in DEAD_ENDS if outcome in final)


def for_caller(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom data of Stream's event: which user, in which ring, and no reason."""
    data = document["data"]
    return {"type": CUSTOM_PREFIX + document["type"], **{name: data[name] for name in CUSTOM_FIELDS}}


def without_private_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as a member of the call may read it."""
    data = {name: value for name, value in document["data"].items() if name not in PRIVATE_FIELDS}
    return {**document, "data": data}
