"""Read the parts that several events have in common: users, members, and the call's own fields. Pure."""

from typing import Any

from bellhop.clock import Micros
from bellhop.domain.json_fields import JsonObject, identifier, nested, text, timestamp_us, whole_text
from bellhop.domain.stamp_history import latest
from webhook.intake.events import EventUser

MAX_MEMBERS = 1_000
"""Members of one event that are kept; Stream documents 100 for a call. The trail and the log report the rest."""
MAX_LANGUAGE = 35
MAX_EMAIL = 254
MAX_URL = 2_048
MAX_CUSTOM_FIELDS = 50
MAX_CUSTOM_NAME = 64
REVOKED = "revoke_tokens_issued_before"


def session_id(event: JsonObject, call: JsonObject) -> str:
    """Read the session that the event happened in; empty if it names none."""
    return identifier(event.get("session_id")) or identifier(nested(call, "session").get("id"))


def created_by_id(call: JsonObject) -> str:
    """Read the id of the user who created the call."""
    return identifier(nested(call, "created_by").get("id"))


def read_caller(event: JsonObject, call: JsonObject) -> EventUser:
    """Read the caller: the event's user, or else the creator of the call."""
    user = nested(event, "user")
    return _user(user if identifier(user.get("id")) else nested(call, "created_by"))


def read_members(event: JsonObject, caller: EventUser | None = None) -> tuple[tuple[EventUser, ...], int]:
    """Read the members without the caller, each once; returns those that are kept and how many are left out."""
    entries = event.get("members")
    members: dict[str, EventUser] = {}
    for member in map(_member, entries if isinstance(entries, list) else ()):
        if member.id and (caller is None or member.id != caller.id):
            members.setdefault(member.id, member)
    return tuple(members.values())[:MAX_MEMBERS], max(0, len(members) - MAX_MEMBERS)


def read_revocations(event: JsonObject, call: JsonObject) -> dict[str, Micros]:
    """Read from which time on the tokens of the event's users are valid, if Stream has revoked earlier ones.

    A user object without the field, or with null, revokes nothing, and does not make revoked tokens valid again.
    """
    members = event.get("members")
    entries = members[:MAX_MEMBERS] if isinstance(members, list) else []
    users = [nested(event, "user"), nested(call, "created_by")]
    users += [nested(entry, "user") for entry in entries if isinstance(entry, dict)]
    revoked = ((identifier(user.get("id")), timestamp_us(user[REVOKED])) for user in users if REVOKED in user)
    return latest((user_id, at) for user_id, at in revoked if user_id and at is not None)


def _member(entry: Any) -> EventUser:
    """Read a member: an object that holds a user, or a plain user id."""
    return _user(nested(entry, "user"), entry.get("user_id")) if isinstance(entry, dict) else _user({}, entry)


def _user(user: JsonObject, default_id: Any = None) -> EventUser:
    user_id = identifier(user.get("id")) or identifier(default_id)
    return EventUser(
        id=user_id,
        name=text(user.get("name")) or user_id,
        image=whole_text(user.get("image"), MAX_URL),
        language=whole_text(user.get("language"), MAX_LANGUAGE),
        custom_email=whole_text(nested(user, "custom").get("email"), MAX_EMAIL),
    )


def custom_fields(call: JsonObject) -> dict[str, str]:
    """Read the call's custom fields that fit on one line: texts and numbers."""
    shown: dict[str, str] = {}
    for name, value in nested(call, "custom").items():
        line = text(str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value)
        if line and len(name) <= MAX_CUSTOM_NAME and len(shown) < MAX_CUSTOM_FIELDS:
            shown[text(name)] = line
    return shown


def call_name(call: JsonObject) -> str:
    """Read the call's title from the fields that Stream's own pushes take it from."""
    custom = nested(call, "custom")
    return next((name for key in ("display_name", "name", "title") if (name := text(custom.get(key)))), "")
