"""The fields of Stream's JSON that Bellhop reads, and the two ways to read them. Pure.

Any field may be absent or null: Stream's JSON differs from its schema. `decode` is fast, and refuses JSON in which one
of these fields has another type. `read_leniently` takes any JSON, and a field of the wrong type counts as absent. Where
`decode` does not refuse, both give the same; tests/fuzz compares them.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec

Reader = Callable[[Any], Any]
"""Reads a value leniently; returns None if it has the wrong type."""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _id(value: Any) -> str | None:
    """Read an id. Some backends send ids as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _time(value: Any) -> str | None:
    """Read a time. A number becomes its digits, which `timestamp_us` reads too."""
    return str(int(value)) if _is_number(value) else _text(value)


def _number(value: Any) -> int | None:
    """Read a number, without its fraction; None between 0 and 1, since 0 has a special meaning."""
    return int(value) if _is_number(value) and not 0 < value < 1 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _times(value: Any) -> dict[str, str | None] | None:
    return {name: _time(at) for name, at in value.items()} if isinstance(value, dict) else None


def _texts(value: Any) -> list[str | None] | None:
    return [_text(entry) for entry in value] if isinstance(value, list) else None


def _object_of(kind: type["StreamJson"]) -> Reader:
    return lambda value: read_leniently(kind, value) if isinstance(value, dict) else None


def _objects_of(kind: type["StreamJson"], otherwise: Reader) -> Reader:
    def read(value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        return [read_leniently(kind, entry) if isinstance(entry, dict) else otherwise(entry) for entry in value]

    return read


Text = Annotated[str | None, _text]
Id = Annotated[str | None, _id]
Time = Annotated[str | None, _time]
Number = Annotated[int | None, _number]
Flag = Annotated[bool | None, _flag]
Times = Annotated[dict[str, str | None] | None, _times]
Texts = Annotated[list[str | None] | None, _texts]


class StreamJson(msgspec.Struct, frozen=True, gc=False):
    """An object in Stream's JSON."""


class JsonUserCustom(StreamJson, frozen=True, gc=False):
    """A user's custom fields."""

    email: Text = None


class JsonPushSwitch(StreamJson, frozen=True, gc=False):
    """Whether a user wants pushes, as Stream's user objects say it."""

    disabled: Flag = None
    disabled_until: Time = None


class JsonPushPreferences(StreamJson, frozen=True, gc=False):
    """The same in the form of Stream's push preferences."""

    call_level: Text = None
    disabled_until: Time = None


class JsonUser(StreamJson, frozen=True, gc=False):
    """A user."""

    id: Id = None
    name: Text = None
    language: Text = None
    custom: Annotated[JsonUserCustom | None, _object_of(JsonUserCustom)] = None
    deactivated_at: Time = None
    push_notifications: Annotated[JsonPushSwitch | None, _object_of(JsonPushSwitch)] = None
    push_preferences: Annotated[JsonPushPreferences | None, _object_of(JsonPushPreferences)] = None
    blocked_user_ids: Texts = None
    revoke_tokens_issued_before: Time = None


User = Annotated[JsonUser | None, _object_of(JsonUser)]


class JsonMember(StreamJson, frozen=True, gc=False):
    """A member of a call."""

    user_id: Id = None
    user: User = None


class JsonParticipant(StreamJson, frozen=True, gc=False):
    """A user who is in a call on one device."""

    user_session_id: Id = None
    joined_at: Time = None
    user: User = None


class JsonAnswers(StreamJson, frozen=True, gc=False):
    """When users accepted, rejected or missed a ring, by their ids."""

    accepted_by: Times = None
    rejected_by: Times = None
    missed_by: Times = None


class JsonSession(JsonAnswers, frozen=True, gc=False):
    """The session of a call."""

    id: Id = None
    ended_at: Time = None
    participants: Annotated[list[JsonParticipant] | None, _objects_of(JsonParticipant, lambda _: JsonParticipant())] = (
        None
    )


class JsonRing(StreamJson, frozen=True, gc=False):
    """How long the phones of a call ring."""

    auto_cancel_timeout_ms: Number = None
    incoming_call_timeout_ms: Number = None
    missed_call_timeout_ms: Number = None


class JsonVideo(StreamJson, frozen=True, gc=False):
    """Whether a call has video."""

    enabled: Flag = None


class JsonSettings(StreamJson, frozen=True, gc=False):
    """The settings of a call."""

    ring: Annotated[JsonRing | None, _object_of(JsonRing)] = None
    video: Annotated[JsonVideo | None, _object_of(JsonVideo)] = None


class JsonCall(StreamJson, frozen=True, gc=False):
    """A call."""

    cid: Id = None
    current_session_id: Id = None
    ended_at: Time = None
    created_by: User = None
    session: Annotated[JsonSession | None, _object_of(JsonSession)] = None
    settings: Annotated[JsonSettings | None, _object_of(JsonSettings)] = None
    custom: Annotated[dict[str, Any] | None, _object] = None


class JsonEvent(StreamJson, frozen=True, gc=False):
    """An event, as a webhook carries it."""

    type: Text = None
    created_at: Time = None
    call_cid: Id = None
    session_id: Id = None
    call: Annotated[JsonCall | None, _object_of(JsonCall)] = None
    user: User = None
    members: Annotated[list[JsonMember | str] | None, _objects_of(JsonMember, lambda entry: _id(entry) or "")] = None
    participant: Annotated[JsonParticipant | None, _object_of(JsonParticipant)] = None
    video: Flag = None
    notify_user: Flag = None
    reason: Text = None


class JsonRingState(JsonAnswers, frozen=True, gc=False):
    """Stream's answer about the state of a ring."""

    session_id: Id = None
    call_ended_at: Time = None
    session_ended_at: Time = None


NO_USER, NO_SESSION, NO_CALL, NO_PARTICIPANT = JsonUser(), JsonSession(), JsonCall(), JsonParticipant()
NO_SETTINGS, NO_RING = JsonSettings(), JsonRing()
S = TypeVar("S", bound=StreamJson)
_decoder = msgspec.json.Decoder(JsonEvent)


def decode(body: bytes) -> JsonEvent | None:
    """Read an event; None if it is not valid JSON, or if a field has an unusual type."""
    try:
        body.decode()  # msgspec does not look at the characters of texts that it skips
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def read_leniently(kind: type[S], value: Mapping[str, Any]) -> S:
    """Read an object of any form."""
    return kind(**{name: reader(value[name]) for name, reader in _readers(kind) if name in value})


@cache
def _readers(kind: type[StreamJson]) -> list[tuple[str, Reader]]:
    return [(name, get_args(hint)[1]) for name, hint in get_type_hints(kind, include_extras=True).items()]
