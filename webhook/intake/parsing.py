"""Verified JSON -> event. Pure.

Stream's webhooks differ from their schema: optional members come as null, required ones are absent, new keys and new
types appear. So every field is optional here, except the type, the call, and the user who acted.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import msgspec

from bellhop.clock import Micros
from bellhop.domain.call_snapshot import CallSnapshot, participant_id, read_snapshot
from bellhop.domain.json_fields import identifier, positive_integer, text, timestamp_us
from bellhop.domain.stream_json import (
    NO_CALL,
    NO_PARTICIPANT,
    NO_RING,
    NO_SETTINGS,
    NO_USER,
    JsonCall,
    JsonEvent,
    JsonParticipant,
    decode,
    read_leniently,
)
from webhook.intake.call_parts import (
    call_name,
    created_by_id,
    custom_fields,
    read_caller,
    read_members,
    read_revocations,
    session_id,
    user_id_of,
)
from webhook.intake.caller_fields import caller_fields
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    EventUser,
    Ignored,
    Left,
    MembersEvent,
    Missed,
    Notification,
    Rejected,
    Removed,
    Ring,
    Started,
    UnreadableEvent,
    UserChanged,
)

MAX_REASON = 64
MAX_DIGITS = 4_300
"""Python's own limit for the digits of an integer."""


class _Common(TypedDict):
    type: str
    cid: str
    session_id: str
    at: Micros | None
    snapshot: CallSnapshot
    tokens_revoked: dict[str, Micros]


def parse(body: bytes, fields_of_caller: Sequence[str] = ()) -> Event:
    """Parse the JSON of one webhook. Raises UnreadableEvent, and nothing else, for any bytes.

    `fields_of_caller` are the caller's picture and custom fields to read.
    """
    event = decode(body) or load_leniently(body)
    event_type = text(event.type)
    if not event_type:
        raise UnreadableEvent("it has no type")
    call = event.call or NO_CALL
    common = _common(event, call, event_type)
    parser = PARSERS.get(event_type)
    if parser is None:
        return Ignored(**common)
    if not common["cid"] and parser is not _user_changed:
        raise UnreadableEvent(f"{event_type} has no call id")
    parsed = parser(event, call, common)
    if fields_of_caller and isinstance(parsed, MembersEvent):
        read = caller_fields(body, fields_of_caller, is_creator=not user_id_of(event))
        return msgspec.structs.replace(parsed, caller_fields=read)
    return parsed


def load_leniently(body: bytes) -> JsonEvent:
    """Read JSON of an unusual form."""
    try:
        event = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        # "from None": a JSONDecodeError carries the whole body.
        raise UnreadableEvent(f"it is not valid JSON ({type(error).__name__})") from None
    if not isinstance(event, dict):
        raise UnreadableEvent("it is not a JSON object")
    return read_leniently(JsonEvent, event)


def _integer(digits: str) -> int | float:
    """Read an integer. Python refuses very long ones; here they count as infinite, like floats that are too large."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _common(event: JsonEvent, call: JsonCall, event_type: str) -> _Common:
    session = session_id(event, call) or identifier(call.current_session_id)
    return _Common(
        type=event_type,
        cid=identifier(event.call_cid) or identifier(call.cid),
        session_id=session,
        at=timestamp_us(event.created_at),
        snapshot=read_snapshot(call, session),
        tokens_revoked=read_revocations(event, call),
    )


class _ForMembers(TypedDict):
    members: tuple[EventUser, ...]
    left_out: int
    call_name: str
    custom: dict[str, str]


def _for_members(event: JsonEvent, call: JsonCall, caller: EventUser) -> _ForMembers:
    members, left_out = read_members(event, caller)
    return _ForMembers(members=members, left_out=left_out, call_name=call_name(call), custom=custom_fields(call))


def _ring(event: JsonEvent, call: JsonCall, common: _Common) -> Ring:
    video = (call.settings or NO_SETTINGS).video
    caller = read_caller(event, call)
    return Ring(
        **common,
        **_for_members(event, call, caller),
        **_timeouts(call),
        caller=caller,
        video=event.video if event.video is not None else bool(video and video.enabled),
        created_by_id=created_by_id(call),
    )


class _Timeouts(TypedDict):
    ring_ms: int | None
    endless: bool
    missed_ms: int | None


def _timeouts(call: JsonCall) -> _Timeouts:
    """Read how long phones ring. Stream's SDKs take one or the other of two time-outs, so the longer one counts."""
    ring = (call.settings or NO_SETTINGS).ring or NO_RING
    both = (ring.auto_cancel_timeout_ms, ring.incoming_call_timeout_ms)
    return _Timeouts(
        ring_ms=max(filter(None, map(positive_integer, both)), default=None),
        endless=0 in both,
        missed_ms=positive_integer(ring.missed_call_timeout_ms),
    )


def _notification(event: JsonEvent, call: JsonCall, common: _Common) -> Notification:
    sender = read_caller(event, call)
    return Notification(**common, **_for_members(event, call, sender), sender=sender)


def _started(event: JsonEvent, call: JsonCall, common: _Common) -> Started:
    creator = read_caller(event, call)
    return Started(**common, **_for_members(event, call, creator), creator=creator)


def _missed(event: JsonEvent, call: JsonCall, common: _Common) -> Missed:
    caller, notify = read_caller(event, call), event.notify_user is not False
    if not notify:  # the call in the event names all who missed it
        common["snapshot"] = common["snapshot"].without_missed()
    return Missed(**common, **_for_members(event, call, caller), **_timeouts(call), caller=caller, notify=notify)


def _rejected(event: JsonEvent, call: JsonCall, common: _Common) -> Rejected:
    return Rejected(
        **common,
        user_id=_acting_user_id(event, common),
        reason=text(event.reason).lower()[:MAX_REASON],
    )


def _accepted(event: JsonEvent, call: JsonCall, common: _Common) -> Accepted:
    return Accepted(**common, user_id=_acting_user_id(event, common))


def _joined(event: JsonEvent, call: JsonCall, common: _Common) -> Accepted:
    participant = event.participant or NO_PARTICIPANT
    joined_at = timestamp_us(participant.joined_at)
    if joined_at is not None:
        common["at"] = joined_at
    return Accepted(**common, user_id=_acting_user_id(participant, common), participant_id=participant_id(participant))


def _left(event: JsonEvent, call: JsonCall, common: _Common) -> Left:
    participant = event.participant or NO_PARTICIPANT
    return Left(**common, user_id=_acting_user_id(participant, common), participant_id=participant_id(participant))


def _removed(event: JsonEvent, call: JsonCall, common: _Common) -> Removed:
    members = read_members(event)[0]
    return Removed(**common, user_ids=tuple(member.id for member in members))


def _thrown_out(event: JsonEvent, call: JsonCall, common: _Common) -> Removed:
    return Removed(**common, user_ids=(_acting_user_id(event, common),))


def _acting_user_id(holder: JsonEvent | JsonParticipant, common: _Common) -> str:
    user_id = user_id_of(holder)
    if not user_id:
        raise UnreadableEvent(f"{common['type']} has no user id")
    return user_id


def _ended(event: JsonEvent, call: JsonCall, common: _Common) -> Ended:
    return Ended(**common, only_session="")


def _session_ended(event: JsonEvent, call: JsonCall, common: _Common) -> Ended:
    # Not call.current_session_id: that may be a newer session, which goes on.
    ended_session = session_id(event, call)
    if not ended_session:
        raise UnreadableEvent(f"{common['type']} has no session id")
    return Ended(**common, only_session=ended_session)


def _user_changed(event: JsonEvent, call: JsonCall, common: _Common) -> UserChanged | Ignored:
    if common["type"] == "user.updated" and not user_id_of(event):
        return Ignored(**common)
    return UserChanged(
        **common,
        user_id=_acting_user_id(event, common),
        deactivated_at=timestamp_us((event.user or NO_USER).deactivated_at),
    )


PARSERS: dict[str, Callable[[JsonEvent, JsonCall, _Common], Event]] = {
    "call.ring": _ring,
    "call.notification": _notification,
    "call.live_started": _started,
    "call.session_started": _started,
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
