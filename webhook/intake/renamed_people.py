"""Replace people in an event if they were forgotten in the last day, before any of the event is stored. Pure.

Webhooks that come late, repeats and captured webhooks do not bring a forgotten person back.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from bellhop.privacy.entries import NAMELESS, without
from bellhop.privacy.people import Names
from webhook.intake.events import Event, EventUser, MembersEvent, UserChanged

IDS = frozenset({"user_id", "user_ids", "created_by_id"})
"""The fields of events that hold ids of users as texts."""
BY_USER = frozenset({"accepted", "rejected", "missed"})
"""The fields that are mappings by the ids of users."""
OF_ACCOUNTS = "tokens_revoked"
"""A field of this kind that becomes a part of the user's own data. A forgotten user has no such data."""

CALLERS = frozenset({"caller", "sender", "creator"})
"""The fields with the user whose picture and custom fields an event has."""

Value = TypeVar("Value", bound=msgspec.Struct)


def renamed(event: Event, names: Names) -> Event:
    """Return the event with pseudonyms for these people. An event about a user and no call is returned unchanged."""
    if isinstance(event, UserChanged):
        return event
    texts: set[str] = set()
    changed = _renamed(event, names, texts)
    if not isinstance(changed, MembersEvent) or not texts:
        return changed
    return msgspec.structs.replace(
        changed,
        call_name=without(changed.call_name, texts),
        custom={name: without(text, texts) for name, text in changed.custom.items()},
    )


def _renamed(value: Value, names: Names, texts: set[str]) -> Value:
    changes: dict[str, Any] = {}
    for field in value.__struct_fields__:
        part = getattr(value, field)
        changed = _part(field, part, names, texts)
        if changed is not part:
            changes[field] = changed
    if CALLERS & changes.keys() and getattr(value, "caller_fields", None):
        changes["caller_fields"] = {}
    return msgspec.structs.replace(value, **changes) if changes else value


def _part(field: str, part: Any, names: Names, texts: set[str]) -> Any:
    if isinstance(part, EventUser):
        other = names(part.id)
        if other:
            texts |= {part.id, part.name}
        return EventUser(other, NAMELESS) if other else part
    if isinstance(part, msgspec.Struct):
        return _renamed(part, names, texts)
    if isinstance(part, tuple):
        changed = tuple(_part(field, element, names, texts) for element in part)
        return changed if any(new is not old for new, old in zip(changed, part, strict=True)) else part
    if field in BY_USER and isinstance(part, Mapping):
        return {names(key) or key: at for key, at in part.items()} if any(map(names, part)) else part
    if field == OF_ACCOUNTS and any(map(names, part)):
        return {key: at for key, at in part.items() if not names(key)}
    return (names(part) or part) if field in IDS else part
