"""The trail: an append-only list of lines for each call, that says what came in, what was decided and what came back.

This module words a line and reads lines back; the scripts in worker/lua/ append them in the step they are about. A
line never holds a token, an address or the text of a payload.
"""

import json
from enum import StrEnum
from typing import Any, Protocol

TTL_S = 7 * 24 * 3600
LENGTH = 2_000
"""Lines kept for one call; the oldest leave."""


class Milestone(StrEnum):
    """What a line is about."""

    RECEIVED = "received"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"
    ATTEMPTED = "attempted"
    FINISHED = "finished"
    SETTLED = "settled"


class Reader(Protocol):
    """The one Redis command that reading needs; `worker.store.Store` has it."""

    async def call(self, *args: Any) -> Any:
        """Run one command."""
        ...


def trail_key(tenant: str, cid: str) -> str:
    """The Redis key of a call's trail."""
    return f"bellhop:trail:{tenant}:{cid}"


def line(what: Milestone, at: int, **facts: Any) -> str:
    """Word one line; `at` in unix µs. Empty facts are left out."""
    kept = {name: fact for name, fact in facts.items() if fact not in (None, "")}
    return json.dumps({"what": what, "at": at, **kept}, separators=(",", ":"), ensure_ascii=False)


async def read(store: Reader, tenant: str, cid: str) -> list[dict[str, Any]]:
    """Read a call's trail, oldest line first."""
    return [json.loads(text) for text in await store.call("LRANGE", trail_key(tenant, cid), 0, -1)]
