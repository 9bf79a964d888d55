"""What live streams send: server-sent events, in one form for server tokens and one for user tokens. No I/O.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bellhop.clock import Micros
from bellhop.domain.announcement import (
    Announcement,
    AnnouncementType,
    about_ring,
    read_because,
    read_told,
    without_private_fields,
)
from bellhop.domain.json_text import encoded
from bellhop.domain.round import Round

COMMENT = b":\n\n"
"""An empty comment, which clients ignore. Without it, a proxy would close a quiet connection."""
MAX_SHOWN = 200
"""How many announcements a snapshot has: the latest. A ring may have thousands of members."""

_FOR_USERS = frozenset(type_ for type_ in AnnouncementType if type_.startswith("ring."))
_EVENT_ID = re.compile(r"[\w-]{1,80}")

Document = Mapping[str, Any]


class LiveEvent(NamedTuple):
    """An event as it is written into a stream."""

    ids: frozenset[str]
    """The announcements in it."""
    for_servers: bytes
    for_users: bytes
    """Empty if a user token may not read it."""


def read_message(message: bytes) -> LiveEvent | None:
    """Make the event of an announcement that was published; None if the message is not one."""
    try:
        document = json.loads(message)
        type_, id_ = AnnouncementType(document["type"]), document["id"]
        if not _EVENT_ID.fullmatch(id_):
            return None
        shown = _for_user(document)
        return LiveEvent(frozenset([id_]), _event(type_, document, id_), _event(type_, shown, id_) if shown else b"")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def snapshot(cid: str, rounds: Iterable[tuple[Round, Mapping[str, str]]]) -> LiveEvent:
    """Make the event that says what was announced in a call's rounds. Its id is that of the latest announcement."""
    told = [(at, type_, user, *round_) for round_ in rounds for (type_, user), at in read_told(round_[1]).items()]
    latest = sorted(told, key=lambda fact: fact[0])[-MAX_SHOWN:]
    documents = [_retold(type_, round_, user, at, fields).public for at, type_, user, round_, fields in latest]
    shown = [document for document in map(_for_user, documents) if document]
    ids = frozenset(document["id"] for document in documents)
    return LiveEvent(ids, _snapshot_event(cid, documents), _snapshot_event(cid, shown))


def _retold(
    type_: AnnouncementType, round_: Round, user_id: str, at: Micros, fields: Mapping[str, str]
) -> Announcement:
    if type_ is AnnouncementType.ENDED:
        return about_ring(type_, round_, user_id, at, standing=fields.get(f"o:{user_id}", ""))
    return about_ring(type_, round_, user_id, at, **read_because(fields, type_, user_id))


def reconnect_event(reason: str, after_ms: int) -> bytes:
    """Make the event before a stream's end, with the time after which the client opens the next one."""
    return f"retry: {after_ms}\n".encode() + _event("reconnect", {"reason": reason, "after_ms": after_ms}, "")


def retry_field(after_ms: int) -> bytes:
    """Make the line that says after which time a client opens a stream that it has lost."""
    return f"retry: {after_ms}\n\n".encode()


def _for_user(document: Document) -> Document | None:
    """Return what a user token may read of a document."""
    if document["type"] not in _FOR_USERS:
        return None
    return without_private_fields(document)


def _snapshot_event(cid: str, documents: Sequence[Document]) -> bytes:
    latest = documents[-1]["id"] if documents else ""
    return _event("snapshot", {"call_cid": cid, "announcements": documents}, latest)


def _event(type_: str, data: Document, id_: str) -> bytes:
    head = f"id: {id_}\nevent: {type_}\ndata: " if id_ else f"event: {type_}\ndata: "
    return head.encode() + encoded(data) + b"\n\n"
