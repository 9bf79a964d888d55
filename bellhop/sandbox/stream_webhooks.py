"""A stand-in for Stream: the events of a call in Stream's format, signed and posted as Stream does."""

import gzip
import json
import time
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bellhop.clock import Seconds
from bellhop.stream_hooks import signed_headers

SAMPLES = Path(__file__).parent / "samples"
"""Stream's format on disk: events as they are posted, pushes as its SDKs parse them, and answers of its REST API."""

Event = dict[str, Any]


@dataclass
class SampleCall:
    """One call with one session. Each method makes an event of it; `at` is its time, in unix seconds (default: now)."""

    caller: str = "sara-lind"
    members: tuple[str, ...] = ("ben-osei", "jane-morel")
    ring_ms: int = 30_000
    name: str = "Design review"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    accepted_by: dict[str, str] = field(default_factory=dict)
    rejected_by: dict[str, str] = field(default_factory=dict)
    missed_by: dict[str, str] = field(default_factory=dict)
    participants: list[Event] = field(default_factory=list)
    ended_at: str | None = None
    session_ended_at: str | None = None
    """The truth about the end, as Stream's REST interface tells it; events do not name it."""

    @property
    def cid(self) -> str:
        """The call's cid at Stream."""
        return f"default:{self.id}"

    def ring(self, *members: str, video: bool = True, at: Seconds | None = None) -> Event:
        """Make a call.ring for `members` (default: all)."""
        return self._event("call.ring", at, user=_user(self.caller), members=self._members(members), video=video)

    def notification(self, *members: str, at: Seconds | None = None) -> Event:
        """Make a call.notification for `members` (default: all)."""
        return self._event("call.notification", at, user=_user(self.caller), members=self._members(members))

    def live_started(self, at: Seconds | None = None) -> Event:
        """Make a call.live_started."""
        return self._event("call.live_started", at)

    def session_started(self, at: Seconds | None = None) -> Event:
        """Make a call.session_started."""
        return self._event("call.session_started", at)

    def missed(self, *members: str, notify_user: bool = True, at: Seconds | None = None) -> Event:
        """Make a call.missed for `members` (default: all)."""
        missed_by = self._members(members)
        return self._event("call.missed", at, user=_user(self.caller), members=missed_by, notify_user=notify_user)

    def accepted(self, user: str, at: Seconds | None = None) -> Event:
        """Make a call.accepted by `user`. Every later event of the call names the user in `accepted_by`."""
        self.accepted_by[user] = _stamp(Seconds(time.time()) if at is None else at)
        return self._event("call.accepted", at, user=_user(user))

    def rejected(self, user: str, reason: str | None = "decline", at: Seconds | None = None) -> Event:
        """Make a call.rejected by `user`, a callee or the caller. Later events name the user, without the reason."""
        self.rejected_by[user] = _stamp(Seconds(time.time()) if at is None else at)
        return self._event("call.rejected", at, user=_user(user), reason=reason)

    def joined(self, user: str, at: Seconds | None = None) -> Event:
        """Make a call.session_participant_joined. Later events name the user among the participants."""
        event = self._event("call.session_participant_joined", at)
        event["participant"] |= {
            "user": _user(user),
            "user_session_id": str(uuid.uuid4()),
            "joined_at": event["created_at"],
        }
        self.participants.append(event["participant"])
        return event

    def left(self, user: str, at: Seconds | None = None) -> Event:
        """Make a call.session_participant_left of the device on which `user` joined last."""
        event = self._event("call.session_participant_left", at)
        joined = [participant for participant in self.participants if participant["user"]["id"] == user]
        event["participant"] |= joined[-1] if joined else {"user": _user(user), "user_session_id": str(uuid.uuid4())}
        self.participants = [participant for participant in self.participants if participant not in joined[-1:]]
        return event

    def member_removed(self, *members: str, at: Seconds | None = None) -> Event:
        """Make a call.member_removed for `members`."""
        return self._event("call.member_removed", at, members=list(members))

    def thrown_out(self, user: str, kind: str = "call.kicked_user", at: Seconds | None = None) -> Event:
        """Make a call.kicked_user, or a call.blocked_user."""
        event = self._event("call.updated", at, user=_user(user))
        return event | {"type": kind}

    def updated(self, at: Seconds | None = None) -> Event:
        """Make a call.updated: an event that only tells the call's state."""
        return self._event("call.updated", at)

    def ended(self, user: str | None = None, at: Seconds | None = None) -> Event:
        """Make a call.ended by `user`, or by the server."""
        event = self._event("call.ended", at, user=_user(user) if user else None)
        event["call"]["ended_at"] = self.ended_at = event["created_at"]
        return event

    def session_ended(self, at: Seconds | None = None) -> Event:
        """Make a call.session_ended."""
        event = self._event("call.session_ended", at)
        self.session_ended_at = event["created_at"]
        return event

    def ring_state(self) -> Event:
        """Return what Stream answers about the state of this session's ring."""
        return {
            "call_cid": self.cid,
            "session_id": self.session_id,
            "created_by_user_id": self.caller,
            "accepted_by": dict(self.accepted_by),
            "rejected_by": dict(self.rejected_by),
            "missed_by": dict(self.missed_by),
            "call_ended_at": self.ended_at,
            "session_ended_at": self.session_ended_at,
        }

    def as_answer(self) -> Event:
        """Return what Stream answers about this call, with this session as its latest."""
        call = self.updated()["call"]
        call["ended_at"] = self.ended_at
        call["session"]["ended_at"] = self.session_ended_at
        return {"call": call, "members": self._members(self.members), "own_capabilities": []}

    def again(self) -> "SampleCall":
        """Return the same call with a new session."""
        return SampleCall(self.caller, self.members, self.ring_ms, self.name, self.id)

    def _members(self, members: tuple[str, ...]) -> list[Event]:
        return [
            {"user": _user(user), "user_id": user, "role": "user", "custom": {}} for user in members or self.members
        ]

    def _event(self, kind: str, at: Seconds | None, **fields: Any) -> Event:
        event = deepcopy(_sample(kind))
        event |= {"created_at": _stamp(Seconds(time.time()) if at is None else at), "call_cid": self.cid, **fields}
        if "session_id" in event:
            event["session_id"] = self.session_id
        if "call" not in event:
            return event
        call = event["call"]
        call |= {
            "id": self.id,
            "cid": self.cid,
            "current_session_id": self.session_id,
            "created_by": _user(self.caller),
        }
        call["custom"] = {"display_name": self.name}
        call["settings"]["ring"] = dict.fromkeys(call["settings"]["ring"], self.ring_ms)
        call["session"] |= {
            "id": self.session_id,
            "accepted_by": dict(self.accepted_by),
            "rejected_by": dict(self.rejected_by),
            "missed_by": dict(self.missed_by),
            "participants": deepcopy(self.participants),
            "ended_at": None,
        }
        call["ended_at"] = None
        return event


def as_posted(event: Event) -> bytes:
    """Write an event as the body of its webhook."""
    return json.dumps(event, separators=(",", ":")).encode()


class WebhookReply(NamedTuple):
    """The web process's answer to a webhook."""

    status: int
    body: Any


@dataclass
class StreamStandIn:
    """Posts webhooks to `url` for one app, as Stream does."""

    url: str
    api_key: str
    secret: str
    session: aiohttp.ClientSession
    loses: set[str] = field(default_factory=set)
    """The types of events whose webhooks are lost: they are not posted."""

    async def post(
        self, event: Event | bytes, *, webhook_id: str = "", attempt: int = 1, compress: bool = False
    ) -> WebhookReply:
        """Post one webhook, once. The signature is made from the JSON before compression. A lost one gets status 0."""
        if isinstance(event, dict) and event["type"] in self.loses:
            return WebhookReply(0, None)
        body = event if isinstance(event, bytes) else as_posted(event)
        headers = signed_headers(body, self.api_key, self.secret, webhook_id or str(uuid.uuid4()), attempt)
        if compress:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        async with self.session.post(f"{self.url}/webhooks/stream", data=body, headers=headers) as response:
            return WebhookReply(response.status, await response.json())


@cache
def _sample(kind: str) -> Event:
    sample: Event = json.loads((SAMPLES / f"{kind}.json").read_bytes())
    return sample


def _user(user: str) -> Event:
    """Make a user whose name follows from the id: "ben-osei" is Ben Osei."""
    someone: Event = deepcopy(_sample("call.ring")["user"])
    return someone | {"id": user, "name": user.replace("-", " ").title(), "custom": {}}


def _stamp(at: Seconds) -> str:
    """Write a time as Stream does: RFC 3339 with nine fractional digits."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
