"""What a call may forget: closed rounds, and stamps that are older than all other rounds. Pure.

A call that rings again and again, such as a lobby, would have more rounds with each ring, and each event would read all
of them. So the oldest rounds leave the call's hash. Each of them leaves traces in a sorted set, whose scores are times:
late events about these rounds, and later rounds, are judged as before.
"""

from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.domain.call import CallState, RoundState, Stamp
from bellhop.domain.stamp_history import PastStamp, history_field

MOST_ROUNDS = 20
"""A call with more rounds forgets some, if they are closed and old enough."""
KEPT_ROUNDS = 10
"""How many rounds are kept. The latest are kept."""
AGE_US = 300 * MICROS_PER_SECOND
"""Older rounds may be forgotten: no phone can ring for them any more, even if their webhook arrives late."""
MOST_TRACES = 1_000
MOST_FIELDS = 2_000
"""About how many traces one script writes at most, and how many fields it removes."""

FORGOTTEN = "forgotten"
"""The field of the call's hash that holds the start of the last forgotten round."""

_OF_A_SESSION = (Stamp.SESSION_ENDED, Stamp.MISSED, Stamp.MISSED_QUIETLY, Stamp.ASKED)
_PRESENCE = (Stamp.JOINED, Stamp.LEFT)


class Forgotten(NamedTuple):
    """What a call forgets in one step."""

    rounds: tuple[Micros, ...]
    """Their starts, the oldest first."""
    traces: dict[str, Micros]
    fields: tuple[str, ...]
    """The fields that are removed from the call's hash, besides those of the rounds."""
    until: Micros
    """The start of the last round that the call has forgotten."""


def forgettable(call: CallState, open_rounds: Container[Micros], now: Micros) -> Forgotten | None:
    """Return what the call forgets now; None if that is not worth it. `open_rounds` have attempts under way."""
    if len(call.rounds) <= MOST_ROUNDS:
        return None
    rounds = sorted(call.rounds, key=lambda round_: round_.started_at)
    going = list(_oldest_closed(rounds[:-KEPT_ROUNDS], open_rounds, now))
    if len(going) < MOST_ROUNDS - KEPT_ROUNDS:
        return None
    staying = rounds[len(going) :]
    traces: dict[str, Micros] = {}
    for round_ in going:
        traces.update(dict.fromkeys(_traces(round_), round_.started_at))
    gone_sessions = {round_.session_id for round_ in going} - {round_.session_id for round_ in staying}
    fields = _outdated(call, staying[0].started_at, gone_sessions)
    until = max(going[-1].started_at, call.stamps.get(FORGOTTEN, Micros(0)))
    return Forgotten(tuple(round_.started_at for round_ in going), traces, tuple(fields)[:MOST_FIELDS], until)


def _oldest_closed(rounds: Iterable[RoundState], open_rounds: Container[Micros], now: Micros) -> Iterator[RoundState]:
    """Yield the oldest rounds until a round must stay. So all forgotten rounds are older than the rounds that stay."""
    traces = 0
    for round_ in rounds:
        traces += len(round_.recipients)
        is_old = max(round_.started_at, round_.deadline) < now - AGE_US
        if not is_old or round_.recipients - round_.settled or round_.started_at in open_rounds:
            return
        yield round_
        if traces >= MOST_TRACES:
            return


def ring_trace(session_id: str, user: str) -> str:
    """Name the trace of the last round that rang the user in the session."""
    return f"r:{len(session_id.encode())}:{session_id}:{user}"


def session_trace(session_id: str) -> str:
    """Name the trace of the last round of the session."""
    return f"s:{session_id}"


def _traces(round_: RoundState) -> Iterator[str]:
    """Yield the names of a round's traces. bellhop/store/lua/lib/rounds.lua reads the same forms."""
    yield session_trace(round_.session_id)
    for user in round_.recipients:
        ring, in_any_session = ring_trace(round_.session_id, user), "b" if round_.ringless else "a"
        yield f"m{ring[1:]}" if round_.ringless else ring
        yield f"{in_any_session}:{user}"


def _outdated(call: CallState, before: Micros, gone_sessions: Container[str]) -> Iterator[str]:
    """Yield the fields with stamps that are older than all rounds that stay, if these rounds do not need them."""
    for name, at in call.stamps.items():
        if at < before and name.startswith(_OF_A_SESSION):
            yield name
    for name, stamps in call.history.items():
        if not name.startswith(_PRESENCE):
            past = [stamp for stamp in stamps if stamp.at < before]
            yield from _names(name, set(past) - _last_rejections(name, past, gone_sessions))
    for user in sorted(call.seen_in_call):
        yield from _past_presence(call, user, before)


def _last_rejections(name: str, past: list[PastStamp], gone_sessions: Container[str]) -> set[PastStamp]:
    """Return the user's last rejection in each session that a later round may be in: that round compares with it."""
    if not name.startswith(Stamp.REJECTED):
        return set()
    last: dict[str, PastStamp] = {}
    for stamp in sorted(past):
        if stamp.session_id not in gone_sessions:
            last[stamp.session_id] = stamp
    return set(last.values())


def _past_presence(call: CallState, user: str, before: Micros) -> Iterator[str]:
    """Yield the fields of participants who have left, except the time when the user last left.

    The times of leaving come last, since the list may be cut: without them, participants would seem to be in the call.
    """
    joined, left = Stamp.JOINED + user, Stamp.LEFT + user
    stamps = {name: call.history.get(name, []) for name in (joined, left)}
    recent = {stamp.session_id for of_name in stamps.values() for stamp in of_name if stamp.at >= before}
    gone = {stamp.session_id for stamp in stamps[left]} - recent
    yield from _names(joined, (stamp for stamp in stamps[joined] if stamp.session_id in gone))
    last = call.last_left(user)
    yield from _names(left, (stamp for stamp in stamps[left] if stamp.session_id in gone and stamp.at < last))


def _names(name: str, stamps: Iterable[PastStamp]) -> Iterator[str]:
    return (history_field(name, stamp) for stamp in sorted(stamps))
