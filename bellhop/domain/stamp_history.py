"""The history of a call's stamps: every stamp of a name, and not only the latest. Pure.

The history tells which event came first. A plain field of a call's hash keeps the latest stamp of its name. A history
field keeps one stamp, with the session that its event names: `at:<stamp>:<bytes of the session>:<session>:<name>`. Its
value is the stamp too.
bellhop/store/lua/lib/history.lua reads the same form.
"""

import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple, Self

from bellhop.clock import Micros

KEPT = 20
"""How many stamps of one name and one session Redis keeps. It keeps the latest."""
_FIELD = re.compile(rb"at:(\d+):(\d+):(.*)", re.DOTALL)


class PastStamp(NamedTuple):
    """One stamp of a call, and the session of its event; empty if that is not known."""

    at: Micros
    session_id: str


class StampTimes(NamedTuple):
    """The times of the stamps of one name, sorted. So the first since a moment is found without reading the others."""

    all: Sequence[Micros]
    by_session: Mapping[str, Sequence[Micros]]
    """By session. All stamps in sessions in which the call did not ring, or in no known session, are under ""."""

    @classmethod
    def of(cls, stamps: Sequence[PastStamp], sessions: Container[str]) -> Self:
        """Sort stamps. `sessions` are those in which the call rang."""
        in_order = sorted(stamps)
        by_session: dict[str, list[Micros]] = {}
        for at, session_id in in_order:
            by_session.setdefault(session_id if session_id in sessions else "", []).append(at)
        return cls([stamp.at for stamp in in_order], by_session)

    def of_ring(self, session_id: str) -> list[Sequence[Micros]]:
        """Return the stamps that may be about a ring of this session ("" if not known): a list of sorted parts."""
        if not self.all:
            return []
        if not session_id:
            return [self.all]
        return [self.by_session[known] for known in (session_id, "") if known in self.by_session]

    def first_since(self, moment: Micros) -> Micros | None:
        """Return the first time from `moment` on, in any session; None if there is none."""
        index = bisect_left(self.all, moment)
        return self.all[index] if index < len(self.all) else None


NO_TIMES = StampTimes((), {})


def since(parts: Sequence[Sequence[Micros]], moment: Micros) -> Iterator[Micros]:
    """Yield the times from `moment` on, in their order, from parts that are sorted."""
    if not parts:
        return iter(())
    return _since(parts[0], moment) if len(parts) == 1 else merge(*(_since(part, moment) for part in parts))


def _since(times: Sequence[Micros], moment: Micros) -> Iterator[Micros]:
    for index in range(bisect_left(times, moment), len(times)):
        yield times[index]


def last_before(parts: Iterable[Sequence[Micros]], moment: Micros) -> Micros | None:
    """Return the last time before `moment`; None if there is none. The parts are sorted."""
    ends = ((part, bisect_left(part, moment)) for part in parts)
    return max((part[end - 1] for part, end in ends if end), default=None)


def history_field(name: str, stamp: PastStamp) -> str:
    """Name the field of the call's hash that keeps this stamp."""
    return f"at:{stamp.at}:{len(stamp.session_id.encode())}:{stamp.session_id}:{name}"


def read_history(fields: Mapping[str, Micros]) -> dict[str, list[PastStamp]]:
    """Collect the stamps by name, from all fields of a call's hash."""
    history: dict[str, list[PastStamp]] = {}
    for field in fields:
        found = _FIELD.fullmatch(field.encode()) if field.startswith("at:") else None
        if found:
            length, rest = int(found[2]), found[3]
            name = rest[length + 1 :].decode()
            history.setdefault(name, []).append(PastStamp(Micros(int(found[1])), rest[:length].decode()))
    return history


def latest(stamps: Iterable[tuple[str, Micros]]) -> dict[str, Micros]:
    """Keep the latest stamp of each name, as the plain fields do."""
    kept: dict[str, Micros] = {}
    for name, at in stamps:
        kept[name] = max(at, kept.get(name, at))
    return kept
