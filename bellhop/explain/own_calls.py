"""A call as its user sees it in the app: who called, when, and what this user did. Pure.

A user may not see what an operator sees: devices, reasons and other users' results are left out.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from bellhop.clock import Micros
from bellhop.domain.call import Standing
from bellhop.domain.json_text import encoded
from bellhop.domain.push import QUIET
from bellhop.explain.rounds import RoundLog, sorted_into_rounds
from bellhop.trail import read_trail

OPENING = b'"f":['
"""A line with this text is about an event that begins a ring. The event names the caller."""
OF_ANYBODY = (b'"received"', b'"asked"')
"""A line with one of these texts is about an event or an answer of Stream. It may end the ring for everybody."""
MOST_LINES = 50
"""How many lines of each kind are read of one call: the latest ones."""


class OwnOutcome(StrEnum):
    """How a call ended for a user."""

    MADE = "made"
    """The user made the call."""
    RINGING = "ringing"
    ANSWERED = "answered"
    DECLINED = "declined"
    MISSED = "missed"
    REMOVED = "removed"
    """The user was removed from the call while it rang."""


class OwnCall(NamedTuple):
    """The latest ring of a call that a user made or got."""

    cid: str
    started_at: Micros
    """Stream's stamp."""
    caller: str
    """Empty if it is not known."""
    caller_name: str
    outcome: OwnOutcome


def own_call(cid: str, trail: Sequence[bytes], user: str, now: Micros) -> OwnCall | None:
    """Read what the user may see of a call from its trail; None if this user neither made nor got a ring.

    `now` is the time by Redis's clock.
    """
    for log in reversed(sorted_into_rounds(read_trail(_lines_about(trail, user)), now)):
        if log.started_at and not log.is_test and log.kind not in QUIET and (outcome := _outcome(log, user)):
            caller = next(iter(log.callers), "")
            return OwnCall(cid, log.started_at, caller, log.trail.names.get(caller, ""), outcome)
    return None


def _lines_about(trail: Sequence[bytes], user: str) -> Iterable[bytes]:
    """Choose the lines that decide the outcome: a trail may have thousands of lines about other users."""
    name = encoded(user)
    own, of_anybody = [], []
    for line in trail:
        if OPENING in line or name in line:
            own.append(line)
        elif any(word in line for word in OF_ANYBODY):
            of_anybody.append(line)
    return [*own[-MOST_LINES:], *of_anybody[-MOST_LINES:]]


def _outcome(log: RoundLog, user: str) -> OwnOutcome | None:
    if log.calls_nobody:
        return None
    if user not in log.users:
        return OwnOutcome.MADE if user in log.callers else None
    standing = log.latest_standing(user)
    if not standing and not log.time_is_over:
        return OwnOutcome.RINGING
    return _OUTCOMES.get(standing, OwnOutcome.MISSED)


_OUTCOMES: dict[str, OwnOutcome] = {
    Standing.ANSWERED: OwnOutcome.ANSWERED,
    Standing.DECLINED: OwnOutcome.DECLINED,
    Standing.REMOVED: OwnOutcome.REMOVED,
}
"""Every other standing is a missed call."""
