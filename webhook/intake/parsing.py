"""Verified JSON -> event. Pure.

Stream's webhooks differ from their schema: optional members come as null, required ones are absent, new keys and new
types appear. So every field is optional here, except the type, the call, and the user who acted.
"""

import json
from collections.abc import Callable
from typing import TypedDict

from bellhop.clock import Micros
from bellhop.domain.call_snapshot import CallSnapshot, participant_id, read_snapshot
from bellhop.domain.json_fields import JsonObject, boolean, identifier, nested, positive_integer, text, timestamp_us
from webhook.intake.call_parts import (
    call_name,
    created_by_id,
    custom_fields,
    read_caller,
    read_members,
    read_revocations,
    session_id,
)
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    Ignored,
    Left,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
    UnreadableEvent,
    UserChanged,
)

MAX_REASON = 64


class _Common(TypedDict):
    type: str
    cid: str
    session_id: str
    at: Micros | None
    snapshot: CallSnapshot
    tokens_revoked: dict[str, Micros]


def parse(body: bytes) -> Event:
    """Parse the JSON of one webhook. Raises UnreadableEvent, and nothing else, for any bytes."""
    event = _load(body)
    event_type = text(event.get("type"))
    if not event_type:
        raise UnreadableEvent("it has no type")
    call = nested(event, "call")
    common = _common(event, call, event_type)
    parser = PARSERS.get(event_type)
    if parser is None:
        return Ignored(**common)
    if not common["cid"] and parser is not _user_changed:
        raise UnreadableEvent(f"{event_type} has no call id")
    return parser(event, call, common)


def _load(body: bytes) -> JsonObject:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        # "from None": a JSONDecodeError carries the whole body.
        raise UnreadableEvent(f"it is not valid JSON ({type(error).__name__})") from None
    if not isinstance(event, dict):
        raise UnreadableEvent("it is not a JSON object")
    return event


def _common(event: JsonObject, call: JsonObject, event_type: str) -> _Common:
    session = session_id(event, call) or identifier(call.get("current_session_id"))
    return _Common(
        type=event_type,
        cid=identifier(event.get("call_cid")) or identifier(call.get("cid")),
        session_id=session,
        at=timestamp_us(event.get("created_at")),
        snapshot=read_snapshot(call, session),
        tokens_revoked=read_revocations(event, call),
    )


def _ring(event: JsonObject, call: JsonObject, common: _Common) -> Ring:
    settings = nested(call, "settings")
    caller = read_caller(event, call)
    members, left_out = read_members(event, caller)
    return Ring(
        **common,
        caller=caller,
        members=members,
        left_out=left_out,
        video=boolean(event.get("video"), boolean(nested(settings, "video").get("enabled"), False)),
        **_timeouts(nested(settings, "ring")),
        call_name=call_name(call),
        custom=custom_fields(call),
        created_by_id=created_by_id(call),
    )


class _Timeouts(TypedDict):
    ring_ms: int | None
    endless: bool
    missed_ms: int | None


def _timeouts(ring: JsonObject) -> _Timeouts:
    """Read how long phones ring. Stream's SDKs take one or the other of two time-outs, so the longer one counts."""
    both = [ring.get(name) for name in ("auto_cancel_timeout_ms", "incoming_call_timeout_ms")]
    return _Timeouts(
        ring_ms=max(filter(None, map(positive_integer, both)), default=None),
        endless=any(value == 0 and not isinstance(value, bool) for value in both),
        missed_ms=positive_integer(ring.get("missed_call_timeout_ms")),
    )


def _notification(event: JsonObject, call: JsonObject, common: _Common) -> Notification:
    sender = read_caller(event, call)
    members, left_out = read_members(event, sender)
    return Notification(**common, sender=sender, members=members, left_out=left_out, call_name=call_name(call))


def _missed(event: JsonObject, call: JsonObject, common: _Common) -> Missed:
    caller = read_caller(event, call)
    members, left_out = read_members(event, caller)
    return Missed(
        **common,
        caller=caller,
        members=members,
        left_out=left_out,
        **_timeouts(nested(nested(call, "settings"), "ring")),
        notify=boolean(event.get("notify_user"), True),
        call_name=call_name(call),
        custom=custom_fields(call),
    )


def _rejected(event: JsonObject, call: JsonObject, common: _Common) -> Rejected:
    return Rejected(
        **common,
        user_id=_acting_user_id(event, common),
        reason=text(event.get("reason")).lower()[:MAX_REASON],
    )


def _accepted(event: JsonObject, call: JsonObject, common: _Common) -> Accepted:
    return Accepted(**common, user_id=_acting_user_id(event, common))


def _joined(event: JsonObject, call: JsonObject, common: _Common) -> Accepted:
    participant = nested(event, "participant")
    joined_at = timestamp_us(participant.get("joined_at"))
    if joined_at is not None:
        common["at"] = joined_at
    return Accepted(**common, user_id=_acting_user_id(participant, common), participant_id=participant_id(participant))


def _left(event: JsonObject, call: JsonObject, common: _Common) -> Left:
    participant = nested(event, "participant")
    return Left(**common, user_id=_acting_user_id(participant, common), participant_id=participant_id(participant))


def _removed(event: JsonObject, call: JsonObject, common: _Common) -> Removed:
    members = read_members(event)[0]
    return Removed(**common, user_ids=tuple(member.id for member in members))


def _thrown_out(event: JsonObject, call: JsonObject, common: _Common) -> Removed:
    return Removed(**common, user_ids=(_acting_user_id(event, common),))


def _acting_user_id(holder: JsonObject, common: _Common) -> str:
    user_id = identifier(nested(holder, "user").get("id"))
    if not user_id:
        raise UnreadableEvent(f"{common['type']} has no user id")
    return user_id


def _ended(event: JsonObject, call: JsonObject, common: _Common) -> Ended:
    return Ended(**common, only_session="")


def _session_ended(event: JsonObject, call: JsonObject, common: _Common) -> Ended:
    # Not call.current_session_id: that may be a newer session, which goes on.
    ended_session = session_id(event, call)
    if not ended_session:
        raise UnreadableEvent(f"{common['type']} has no session id")
    return Ended(**common, only_session=ended_session)


def _user_changed(event: JsonObject, call: JsonObject, common: _Common) -> UserChanged | Ignored:
    user = nested(event, "user")
    if common["type"] == "user.updated" and not identifier(user.get("id")):
        return Ignored(**common)
    return UserChanged(
        **common,
        user_id=_acting_user_id(event, common),
        deactivated_at=timestamp_us(user.get("deactivated_at")),
    )


PARSERS: dict[str, Callable[[JsonObject, JsonObject, _Common], Event]] = {
    "call.ring": _ring,
    "call.notification": _notification,
    "call.missed": _missed,
    "call.rejected": _rejected,
    "call.accepted": _accepted,
    "call.session_participant_joined": _joined,
    "call.session_participant_left": _left,
    "call.member_removed": _removed,
    "call.blocked_user": _thrown_out,
    "call.kicked_user": _thrown_out,
    "call.ended": _ended,
    "call.deleted": _ended,
    "call.session_ended": _session_ended,
    "user.deleted": _user_changed,
    "user.deactivated": _user_changed,
    "user.reactivated": _user_changed,
    "user.updated": _user_changed,
}
"""One parser for each of bellhop.domain.event_types.HANDLED_EVENT_TYPES."""
