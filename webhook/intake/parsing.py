"""Verified JSON -> event. Pure.

Stream's wire differs from its schema: optional members come as null, required ones are absent, new keys and new types
appear. So everything is optional here but the type, the call, and whoever acted on it.
"""

import json
from collections.abc import Callable
from typing import Any, TypedDict

from bellhop.clock import Micros
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    EventUser,
    Ignored,
    Learned,
    Missed,
    Notification,
    Rejected,
    Ring,
    UnreadableEvent,
)
from webhook.intake.fields import Object, flag, identifier, micros, nested, positive, text, whole

MAX_MEMBERS = 1_000
"""Members kept of one event; Stream documents 100 for a call. The trail and the log say when there are more."""
MAX_REASON = 64
MAX_LANGUAGE = 35
MAX_EMAIL = 254
MAX_URL = 2_048
MAX_CUSTOM = 50
MAX_CUSTOM_NAME = 64


class _Common(TypedDict):
    type: str
    cid: str
    session_id: str
    at: Micros | None
    learned: Learned


def read(body: bytes) -> Event:
    """Read the JSON of one webhook. Raises UnreadableEvent, and nothing else, whatever the bytes are."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        # Without its cause: a JSONDecodeError carries the whole body.
        raise UnreadableEvent(f"it is no JSON that can be read ({type(error).__name__})") from None
    if not isinstance(event, dict):
        raise UnreadableEvent("it is no JSON object")
    name = text(event.get("type"))
    if not name:
        raise UnreadableEvent("it has no type")
    call = nested(event, "call")
    common = _Common(
        type=name,
        cid=identifier(event.get("call_cid")) or identifier(call.get("cid")),
        session_id=_session_id(event, call) or identifier(call.get("current_session_id")),
        at=micros(event.get("created_at")),
        learned=_learned(call),
    )
    reader = _READERS.get(name)
    if reader is None:
        return Ignored(**common)
    if not common["cid"]:
        raise UnreadableEvent(f"{name} names no call")
    return reader(event, call, common)


def _ring(event: Object, call: Object, common: _Common) -> Ring:
    settings = nested(call, "settings")
    timeouts = nested(settings, "ring")
    caller = _caller(event, call)
    members, left_out = _members(event, caller)
    return Ring(
        **common,
        caller=caller,
        members=members,
        left_out=left_out,
        video=flag(event.get("video"), flag(nested(settings, "video").get("enabled"), False)),
        ring_ms=positive(timeouts.get("incoming_call_timeout_ms")) or positive(timeouts.get("auto_cancel_timeout_ms")),
        call_name=_call_name(call),
        custom=_custom(call),
        created_by_id=_created_by_id(call),
    )


def _notification(event: Object, call: Object, common: _Common) -> Notification:
    sender = _caller(event, call)
    members, left_out = _members(event, sender)
    return Notification(**common, sender=sender, members=members, left_out=left_out, call_name=_call_name(call))


def _missed(event: Object, call: Object, common: _Common) -> Missed:
    caller = _caller(event, call)
    members, left_out = _members(event, caller)
    return Missed(
        **common,
        caller=caller,
        members=members,
        left_out=left_out,
        notify=flag(event.get("notify_user"), True),
        call_name=_call_name(call),
        custom=_custom(call),
    )


def _rejected(event: Object, call: Object, common: _Common) -> Rejected:
    return Rejected(
        **common,
        user_id=_acting_user_id(event, common),
        reason=text(event.get("reason")).lower()[:MAX_REASON],
    )


def _accepted(event: Object, call: Object, common: _Common) -> Accepted:
    return Accepted(**common, user_id=_acting_user_id(event, common))


def _joined(event: Object, call: Object, common: _Common) -> Accepted:
    participant = nested(event, "participant")
    joined_at = micros(participant.get("joined_at"))
    if joined_at is not None:
        common["at"] = joined_at
    return Accepted(**common, user_id=_acting_user_id(participant, common))


def _ended(event: Object, call: Object, common: _Common) -> Ended:
    return Ended(**common, only_session="")


def _session_ended(event: Object, call: Object, common: _Common) -> Ended:
    # The current session may be a newer one, which goes on.
    session_id = _session_id(event, call)
    if not session_id:
        raise UnreadableEvent(f"{common['type']} names no session")
    return Ended(**common, only_session=session_id)


_READERS: dict[str, Callable[[Object, Object, _Common], Event]] = {
    "call.ring": _ring,
    "call.notification": _notification,
    "call.missed": _missed,
    "call.rejected": _rejected,
    "call.accepted": _accepted,
    "call.session_participant_joined": _joined,
    "call.ended": _ended,
    "call.deleted": _ended,
    "call.session_ended": _session_ended,
}


def _learned(call: Object) -> Learned:
    session = nested(call, "session")
    return Learned(
        accepted=_stamps(nested(session, "accepted_by")),
        rejected=_stamps(nested(session, "rejected_by")),
        ended_at=micros(call.get("ended_at")),
    )


def _stamps(by_user: Object) -> dict[str, Micros]:
    stamps = [(identifier(user_id), micros(at)) for user_id, at in by_user.items()]
    return {user_id: at for user_id, at in stamps[:MAX_MEMBERS] if user_id and at is not None}


def _session_id(event: Object, call: Object) -> str:
    return identifier(event.get("session_id")) or identifier(nested(call, "session").get("id"))


def _created_by_id(call: Object) -> str:
    return identifier(nested(call, "created_by").get("id"))


def _acting_user_id(holder: Object, common: _Common) -> str:
    user_id = identifier(nested(holder, "user").get("id"))
    if not user_id:
        raise UnreadableEvent(f"{common['type']} names no user")
    return user_id


def _caller(event: Object, call: Object) -> EventUser:
    user = nested(event, "user")
    return _person(user if identifier(user.get("id")) else nested(call, "created_by"))


def _members(event: Object, caller: EventUser) -> tuple[tuple[EventUser, ...], int]:
    """Read the members that are kept, and how many are not."""
    entries = event.get("members")
    members: dict[str, EventUser] = {}
    for member in map(_member, entries if isinstance(entries, list) else ()):
        if member.id and member.id != caller.id:
            members.setdefault(member.id, member)
    return tuple(members.values())[:MAX_MEMBERS], max(0, len(members) - MAX_MEMBERS)


def _member(entry: Any) -> EventUser:
    """Read a member, which is an object with a user in it, or a plain user id."""
    return _person(nested(entry, "user"), entry.get("user_id")) if isinstance(entry, dict) else _person({}, entry)


def _person(user: Object, user_id: Any = None) -> EventUser:
    person_id = identifier(user.get("id")) or identifier(user_id)
    return EventUser(
        id=person_id,
        name=text(user.get("name")) or person_id,
        image=whole(user.get("image"), MAX_URL),
        language=whole(user.get("language"), MAX_LANGUAGE),
        custom_email=whole(nested(user, "custom").get("email"), MAX_EMAIL),
    )


def _custom(call: Object) -> dict[str, str]:
    """Read the call's custom fields that can be shown in a line: texts and numbers."""
    found: dict[str, str] = {}
    for name, value in nested(call, "custom").items():
        shown = text(str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value)
        if shown and len(name) <= MAX_CUSTOM_NAME and len(found) < MAX_CUSTOM:
            found[text(name)] = shown
    return found


def _call_name(call: Object) -> str:
    """Find the call's title where Stream's own pushes take it from."""
    custom = nested(call, "custom")
    return next((name for key in ("display_name", "name", "title") if (name := text(custom.get(key)))), "")
