"""The trail: an append-only list of lines for each call, that says what came in, what was decided and what came back.

This module writes a line as text and reads lines back. The Lua scripts append a line in the same step as the change
that it describes, so that no event costs a round trip for its trail. A line never holds a token, an address or the
text of a payload. `bellhop.explain` turns lines into sentences. Pure, but for `read`.
"""

import json
from enum import StrEnum
from typing import Any, Protocol

from bellhop.domain.json_text import encoded
from bellhop.store.keys import trail_key

DAY_S = 24 * 3600
"""How long a trail without an expiry is kept: the shortest that the settings allow. A webhook sets the real one."""

LENGTH = 10_000
"""Lines kept for one call; the oldest leave. A ring of a thousand people without an answer needs half of it."""

LINE_BYTES = 8_192
"""Bytes of one line; a ring of a hundred people with UUIDs for ids needs half of it."""

TEXT = 100
"""Characters kept of a text that is no user's id."""

VERSION = 2


class Milestone(StrEnum):
    """What a line is about."""

    RECEIVED = "received"
    """A webhook was verified, applied and, if there is something to do, queued."""
    REPEATED = "repeated"
    """The same webhook came again."""
    UNREADABLE = "unreadable"
    PICKED_UP = "picked_up"
    """A worker began with a job."""
    SKIPPED = "skipped"
    """A user, or a device of theirs, gets no push."""
    WAITED = "waited"
    """A push does not go out yet, since its provider keeps failing for this app or the way there takes long: said once
    for each push."""
    ATTEMPTED = "attempted"
    """One attempt and what the provider said."""
    FINISHED = "finished"
    """A push came to an end without a provider's word, or without a last one."""
    TOKEN = "token"  # noqa: S105 - a word, not a password
    """What a provider's answer did to a device's registration."""
    SETTLED = "settled"
    """A recipient's final standing in a round."""
    RANG = "rang"
    """A phone reported that it rang."""
    MAILED = "mailed"
    """What became of a missed-call e-mail."""


class TokenFate(StrEnum):
    """What became of a device's registration after a provider's answer."""

    REMOVED = "removed"
    NEWER = "newer"
    """The provider speaks of the time before this registration."""
    CHANGED = "changed"
    """The device was registered again, or removed, meanwhile."""
    BRAKED = "braked"
    """Too many tokens of the app die at once: none is removed."""
    MOVED = "moved"
    """It belongs to Apple's other environment, and is kept there now."""


SHORT = {
    "round": "r",
    "kind": "k",
    "user": "u",
    "device": "d",
    "label": "l",
    "provider": "p",
    "app": "b",
    "environment": "e",
    "outcome": "o",
    "status": "s",
    "reason": "y",
    "id": "i",
    "ms": "m",
    "type": "t",
    "stamp": "c",
    "users": "n",
    "more": "x",
    "left_out": "h",
    "attempt": "a",
    "session": "z",
    "callers": "f",
    "until": "g",
    "job": "j",
    "worker": "w",
    "detail": "v",
}
"""Facts by their names, and the letters that stand for them in Redis, where seven days of lines are kept."""

USERS, MORE = SHORT["users"], SHORT["more"]

LONG = {letter: name for name, letter in SHORT.items()}


class Reader(Protocol):
    """The one Redis command that reading needs; `bellhop.store.async_client.Store` has it."""

    async def call(self, *args: Any) -> Any:
        """Run one command."""
        ...


def line(what: Milestone, at: int, **facts: Any) -> str:
    """Word one line: `at` in unix µs; of its facts (docs/trail.md) `round` is the stamp of the round it is about.

    Empty facts are left out, long texts cut; a list of `users` that makes the line too long is cut, and `more` says how
    many are missing.
    """
    kept: dict[str, Any] = {
        SHORT.get(name, name): fact[:TEXT] if isinstance(fact, str) and name != "user" else fact
        for name, fact in facts.items()
        if fact or fact == 0
    }
    while len(text := encoded([VERSION, what, at, kept])) > LINE_BYTES and (users := kept.get(USERS)):
        left_out = len(users) - len(users) // 2
        kept |= {USERS: users[:-left_out], MORE: kept.get(MORE, 0) + left_out}
    return text.decode()


def read_line(text: bytes | str) -> dict[str, Any]:
    """Read one line: its facts, with `what` and `at`. Of a newer version's line, what this one understands."""
    found = json.loads(text)
    if isinstance(found, dict):  # version 1, from before there were others
        return found
    _, what, at, facts = found[:4]
    return {"what": what, "at": at} | {LONG.get(name, name): fact for name, fact in facts.items()}


async def read(store: Reader, tenant: str, cid: str) -> list[dict[str, Any]]:
    """Read a call's trail, oldest line first."""
    return [read_line(text) for text in await store.call("LRANGE", trail_key(tenant, cid), 0, -1)]
