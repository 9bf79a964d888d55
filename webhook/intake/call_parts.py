"""Read the parts that several events have in common: users, members, and the call's own fields. Pure."""

from collections.abc import Mapping
from typing import Any

from bellhop.clock import Micros
from bellhop.domain.json_fields import identifier, text, timestamp_us, whole_text
from bellhop.domain.stamp_history import latest
from bellhop.domain.stream_json import (
    NO_SESSION,
    NO_USER,
    JsonCall,
    JsonEvent,
    JsonMember,
    JsonParticipant,
    JsonUser,
)
from bellhop.domain.user_wishes import blocks, muted_until
from webhook.intake.events import EventUser

MAX_MEMBERS = 1_000
"""Members of one event that are kept; Stream documents 100 for a call. The trail and the log report the rest."""
MAX_LANGUAGE = 35
MAX_EMAIL = 254
MAX_CUSTOM_FIELDS = 50
MAX_CUSTOM_NAME = 64


def session_id(event: JsonEvent, call: JsonCall) -> str:
    """Read the session that the event happened in; empty if it names none."""
    return identifier(event.session_id) or identifier((call.session or NO_SESSION).id)


def user_id_of(holder: JsonEvent | JsonParticipant) -> str:
    """Read the id of the user of an event or a participant; empty if there is none."""
    return identifier((holder.user or NO_USER).id)


def created_by_id(call: JsonCall) -> str:
    """Read the id of the user who created the call."""
    return identifier((call.created_by or NO_USER).id)


def read_caller(event: JsonEvent, call: JsonCall) -> EventUser:
    """Read the caller: the event's user, or else the creator of the call."""
    user = _user(event.user or NO_USER)
    return user if user.id else _user(call.created_by or NO_USER)


def read_members(event: JsonEvent, caller: EventUser | None = None) -> tuple[tuple[EventUser, ...], int]:
    """Read the members without the caller, each once; returns those that are kept and how many are left out."""
    members: dict[str, EventUser] = {}
    caller_id = caller.id if caller else ""
    for entry in event.members or ():
        member = _member(entry, caller_id)
        if member.id and member.id != caller_id:
            members.setdefault(member.id, member)
    return tuple(members.values())[:MAX_MEMBERS], max(0, len(members) - MAX_MEMBERS)


def read_revocations(event: JsonEvent, call: JsonCall) -> dict[str, Micros]:
    """Read from which time on the tokens of the event's users are valid, if Stream has revoked earlier ones.

    A user object without the field, or with null, revokes nothing, and does not make revoked tokens valid again.
    """
    users = [event.user, call.created_by]
    users += [member.user for member in (event.members or ())[:MAX_MEMBERS] if isinstance(member, JsonMember)]
    revoked = [
        (identifier(user.id), timestamp_us(user.revoke_tokens_issued_before))
        for user in users
        if user and user.revoke_tokens_issued_before is not None
    ]
    return latest((user_id, at) for user_id, at in revoked if user_id and at is not None) if revoked else {}


def _member(entry: JsonMember | str, caller_id: str) -> EventUser:
    """Read a member: an object that holds a user, or a plain user id."""
    if isinstance(entry, str):
        return _user(NO_USER, entry)
    return _user(entry.user or NO_USER, entry.user_id, caller_id)


def _user(user: JsonUser, default_id: str | None = None, caller_id: str = "") -> EventUser:
    user_id = identifier(user.id) or identifier(default_id)
    return EventUser(
        id=user_id,
        name=text(user.name) or user_id,
        language=whole_text(user.language, MAX_LANGUAGE),
        custom_email=whole_text(user.custom.email, MAX_EMAIL) if user.custom else "",
        muted_until=muted_until(user),
        blocks_caller=blocks(user, caller_id),
    )


def custom_fields(call: JsonCall) -> dict[str, str]:
    """Read the call's custom fields that fit on one line: texts and numbers."""
    return short_fields(call.custom or {})


def short_fields(custom: Mapping[str, Any]) -> dict[str, str]:
    """Read those custom fields that fit on one line: texts and numbers."""
    shown: dict[str, str] = {}
    for name, value in custom.items():
        line = text(str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value)
        if line and len(name) <= MAX_CUSTOM_NAME and len(shown) < MAX_CUSTOM_FIELDS:
            shown[text(name)] = line
    return shown


def call_name(call: JsonCall) -> str:
    """Read the call's title from the fields that Stream's own pushes take it from."""
    custom = call.custom or {}
    return next((name for key in ("display_name", "name", "title") if (name := text(custom.get(key)))), "")
