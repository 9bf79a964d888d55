"""A call's trail, sorted into its rounds: what `bellhop.explain.explanation` and `bellhop.explain.timeline` tell. Pure.

Nothing here trusts a line to be complete: lines leave a long trail, and other versions of Bellhop wrote some.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bellhop.domain.call import Standing
from bellhop.domain.push import PushKind
from bellhop.trail import Milestone

OPENERS = {"call.ring": PushKind.RING, "call.notification": PushKind.NOTIFICATION}
"""The events that begin a round."""
ANSWERS = ("call.accepted", "call.session_participant_joined")
ENDS = ("call.ended", "call.deleted", "call.session_ended")
REJECTIONS = {"busy": Standing.BUSY, "timeout": Standing.TIMED_OUT}
"""What a callee's rejection means by its reason; any other is a decline."""
GREATEST = 2**53
"""No number on a trail is greater: Lua counts in doubles."""
ABOUT_RECIPIENTS = frozenset(Milestone) - {Milestone.RECEIVED, Milestone.REPEATED, Milestone.PICKED_UP}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; a fact that is missing, or of another type than it should be, counts as empty."""

    what: str
    at: int
    facts: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Read a text."""
        fact = self.facts.get(name)
        return fact if isinstance(fact, str) else ""

    def number(self, name: str) -> float:
        """Read a number; 0 for none."""
        fact = self.facts.get(name)
        if isinstance(fact, bool) or not isinstance(fact, int | float) or not abs(fact) <= GREATEST:
            return 0
        return fact

    def names(self, name: str) -> tuple[str, ...]:
        """Read a list of texts."""
        fact = self.facts.get(name)
        return tuple(one for one in fact if isinstance(one, str)) if isinstance(fact, list) else ()

    @property
    def stamp(self) -> int:
        """When it happened by Stream's clock; by ours, where Stream said nothing (unix µs)."""
        return int(self.number("stamp")) or self.at

    @property
    def round(self) -> int:
        """The stamp of the round it is about, as far as the line itself says; else 0."""
        opens = self.what == Milestone.RECEIVED and self.text("type") in OPENERS
        return int(self.number("round")) or (self.stamp if opens else 0)


def read(facts: Mapping[str, Any]) -> Line:
    """Read a line as `bellhop.trail.read` gives it."""
    line = Line("", 0, facts)
    return Line(line.text("what"), int(line.number("at")), facts)


@dataclass(frozen=True)
class RoundLog:
    """The lines about one round, in the order of their time."""

    started_at: int
    """The round's stamp (unix µs); 0 for lines that belong to no round."""
    lines: Sequence[Line]

    @cached_property
    def openings(self) -> list[Line]:
        """The webhooks that began it: mostly one."""
        return self._events(OPENERS)

    @cached_property
    def kind(self) -> PushKind | None:
        """Which push the round is for; missed when it is known from its call.missed alone."""
        opened: set[str] = {OPENERS[line.text("type")] for line in self.openings}
        kinds = opened or {line.text("kind") for line in self.lines}
        about_people = any(line.what in ABOUT_RECIPIENTS for line in self.lines)
        return next((kind for kind in PushKind if kind in kinds), PushKind.MISSED if about_people else None)

    @cached_property
    def callers(self) -> tuple[str, ...]:
        """Who calls, first, and who else may call it off."""
        return tuple(dict.fromkeys(name for line in self.openings for name in line.names("callers")))

    @cached_property
    def until(self) -> int:
        """When the phones stop ringing (unix µs); 0 if that is not known."""
        return max((int(line.number("until")) for line in self.openings), default=0)

    @cached_property
    def users(self) -> tuple[str, ...]:
        """Everybody the round is for, as far as lines name them."""
        named = [name for line in self.openings for name in line.names("users")]
        if self.kind is PushKind.MISSED:
            named += [name for line in self._events(("call.missed",)) for name in line.names("users")]
        named += [line.text("user") for line in self.lines if line.what in ABOUT_RECIPIENTS]
        return tuple(name for name in dict.fromkeys(named) if name)

    @cached_property
    def unnamed(self) -> int:
        """How many more there are that no line names."""
        return int(max((line.number("more") for line in self.openings), default=0))

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """What to call each device."""
        return {line.text("device"): line.text("label") for line in self.lines if line.text("label")}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Whose device each is."""
        return {line.text("device"): line.text("user") for line in self.lines if line.text("user")}

    def user_of(self, line: Line) -> str:
        """Whom a line is about: a phone's own report names the device alone."""
        return line.text("user") or self.owners.get(line.text("device") or "-", "")

    @cached_property
    def _by_user(self) -> Mapping[str, list[Line]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(self.user_of(line), []).append(line)
        return found

    @cached_property
    def _received(self) -> list[Line]:
        return [line for line in self.lines if line.what == Milestone.RECEIVED]

    def of(self, user: str, *milestones: Milestone) -> list[Line]:
        """The lines about a user, of these milestones."""
        return [line for line in self._by_user.get(user, ()) if line.what in milestones]

    def moment_of(self, word: str, user: str) -> int | None:
        """How long (µs) after the round began came what an outcome or standing says of `user`, if that is known."""
        find = _MOMENTS.get(word)
        found = find(self, user) if find else ()
        return min((line.stamp - self.started_at for line in found if line.stamp >= self.started_at), default=None)

    def standing_of(self, user: str) -> str:
        """Where a user stands by the webhooks alone; empty while the phone may ring."""
        if self.moment_of(Standing.ANSWERED, user) is not None:
            return Standing.ANSWERED
        for line in self._events(["call.rejected"], [user]):
            return REJECTIONS.get(line.text("reason"), Standing.DECLINED)
        over = (Standing.CANCELLED, Standing.ENDED)
        return next((word for word in over if self.moment_of(word, user) is not None), "")

    def _events(self, types: Iterable[str], users: Iterable[str] | None = None) -> list[Line]:
        return [
            line
            for line in self._received
            if line.text("type") in types and (users is None or set(users) & set(line.names("users")))
        ]


_MOMENTS: dict[str, Callable[[RoundLog, str], list[Line]]] = {
    "answered": lambda scene, user: scene._events(ANSWERS, [user]),
    "declined": lambda scene, user: scene._events(["call.rejected"], [user]),
    "busy": lambda scene, user: scene._events(["call.rejected"], [user]),
    "timed_out": lambda scene, user: scene._events(["call.rejected"], [user]),
    "missed": lambda scene, user: scene._events(["call.missed"], [user]),
    "cancelled": lambda scene, _: scene._events(["call.rejected"], scene.callers),
    "ended": lambda scene, _: scene._events(ENDS),
}
"""Which webhook brought about an outcome or a standing."""


def sorted_into_rounds(lines: Iterable[Line]) -> list[RoundLog]:
    """Sort lines into rounds, the earliest first; what belongs to none comes last."""
    ordered = sorted(lines, key=lambda line: line.at)
    rounds = {line.round: "" for line in ordered if line.round}
    rounds |= {line.round: line.text("session") for line in ordered if line.round and line.text("session")}
    found: dict[int, list[Line]] = {}
    for line in ordered:
        found.setdefault(line.round or _home(line, rounds), []).append(line)
    return [RoundLog(started_at, found[started_at]) for started_at in sorted(found, key=lambda at: (at == 0, at))]


def _home(line: Line, rounds: Mapping[int, str]) -> int:
    """The last round that had begun, in the same session where both are known."""
    session = line.text("session")
    begun = [at for at, its in rounds.items() if at <= line.stamp and (not session or its in ("", session))]
    return max(begun, default=0)
