"""Finds out what a fan-out has to announce: a user was reached, or no phone of the user rings, or a notice was sent."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from bellhop.clock import Micros
from bellhop.domain.announcement import Announcement, AnnouncementType, about_ring, dead_end
from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import Plan, Skip
from bellhop.domain.push import PushKind
from bellhop.domain.round import Round
from worker.delivery.attempt import SENT, Delivered


class RingNews:
    """The announcements of one fan-out."""

    def __init__(self, kind: PushKind, round_: Round) -> None:
        self._kind, self._round = kind, round_
        self._told: set[str] = set()
        """The users about whom something was announced: nothing else follows from this fan-out."""
        self._open: Counter[str] = Counter()
        """By user, the phones whose pushes have not ended."""
        self._outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
        self._unsure: set[str] = set()
        """The users with an attempt that got no answer: their phone may ring."""

    def planned(self, planned: Plan) -> None:
        """Note how many phones of each user get a push."""
        self._open.update(push.device.user_id for push in planned.pushes)

    def skipped(self, skip: Skip, now: Micros) -> Announcement | None:
        """Note a user, or one device, that gets no push."""
        self._outcomes[skip.user_id].append(skip.reason)
        return self._dead_end(skip.user_id, now)

    def attempted(self, result: Delivered, now: Micros) -> Announcement | None:
        """Note the result of a push; returns what its acceptance announces."""
        user_id = result.push.device.user_id
        if result.outcome not in SENT or user_id in self._told:
            return None
        if self._kind is PushKind.RING:
            return self._announce(AnnouncementType.REACHED, user_id, now)
        if self._kind is PushKind.MISSED:
            return self._announce(AnnouncementType.MISSED_NOTICE, user_id, now, by="push")
        return None

    def phone_done(
        self, user_id: str, results: Sequence[Delivered], now: Micros, *, unsure: bool
    ) -> Announcement | None:
        """Note that nothing more is sent to one phone. `unsure`: an attempt got no answer, so it may ring."""
        self._open[user_id] -= 1
        self._outcomes[user_id] += [result.outcome for result in results]
        if unsure:
            self._unsure.add(user_id)
        return self._dead_end(user_id, now)

    def _dead_end(self, user_id: str, now: Micros) -> Announcement | None:
        if self._kind is not PushKind.RING or self._open[user_id] or user_id in self._unsure | self._told:
            return None
        if (reason := dead_end(self._outcomes[user_id])) is None:
            return None
        return self._announce(AnnouncementType.UNREACHABLE, user_id, now, reason=reason)

    def _announce(self, type_: AnnouncementType, user_id: str, now: Micros, **data: str) -> Announcement:
        self._told.add(user_id)
        return about_ring(type_, self._round, user_id, now, **data)
