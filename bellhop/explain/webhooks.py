"""The webhooks on a trail: what each type means, when the event happened, and a search by type and user. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from bellhop.clock import Micros
from bellhop.domain import round_of_test
from bellhop.domain.push import STARTED, PushKind
from bellhop.explain.lazy import Lazy
from bellhop.trail import Milestone, WebhookMilestone, WebhookReceived, WebhookRepeated

OPENERS = {"call.ring": PushKind.RING, round_of_test.EVENT: PushKind.RING, "call.notification": PushKind.NOTIFICATION}
"""The events that begin a round in any case. Those of STARTED do it for the types of calls that the settings name."""
JOINED = "call.session_participant_joined"
ANSWERS = ("call.accepted", JOINED)
ENDS = ("call.ended", "call.deleted", "call.session_ended")
REMOVALS = ("call.member_removed", "call.blocked_user", "call.kicked_user")
LEFT = "call.session_participant_left"

Key = TypeVar("Key")
TypeAndUser = tuple[str, str | None]
"""The type of a webhook and a user whom it is about; None for all webhooks of the type."""


def stamp_of(milestone: Milestone) -> Micros:
    """Return when a milestone happened, by Stream's clock (unix µs): for a webhook its stamp, if it has one."""
    if isinstance(milestone, (WebhookReceived, WebhookRepeated)):
        return milestone.stamp or arrival_of(milestone)
    return milestone.at


def opens_started(event: Milestone) -> bool:
    """Tell whether the event began a round of its own in which members were told that the call began."""
    return isinstance(event, WebhookReceived) and event.type in STARTED and bool(event.round)


def arrival_of(webhook: WebhookMilestone) -> Micros:
    """Return when a webhook arrived, by Stream's clock (unix µs)."""
    return Micros(webhook.at - (webhook.redis_ahead_us or 0))


@dataclass(frozen=True)
class RoundWebhooks:
    """The webhooks of one round, in the order of their arrival. They are grouped once, instead of a search per user."""

    received: Sequence[WebhookReceived]

    def of(self, type_: str, user: str | None = None) -> Sequence[WebhookReceived]:
        """Return the webhooks of a type; with `user`, those about that user."""
        return self._groups.get((type_, user), ())

    def first_since(self, at: Micros, types: Iterable[str], user: str | None) -> Micros | None:
        """Return when the first webhook of these types, about this user, arrived at `at` or later."""
        found = [self.of(type_, user) for type_ in types]
        starts = [bisect_left(group, at, key=attrgetter("at")) for group in found]
        later = [group[start].at for group, start in zip(found, starts, strict=True) if start < len(group)]
        return min(later, default=None)

    def first_stamps(self, since: Micros) -> Mapping[TypeAndUser, Micros]:
        """Return Stream's time of the first webhook of each type and user, of those stamped at `since` or later."""
        first: dict[TypeAndUser, Micros] = {}
        for event in self.received:
            at = stamp_of(event)
            if at >= since:
                for user in (None, *event.users):
                    key = event.type, user
                    first[key] = min(at, first.get(key, at))
        return first

    @Lazy
    def _groups(self) -> Mapping[TypeAndUser, list[WebhookReceived]]:
        groups: dict[TypeAndUser, list[WebhookReceived]] = {}
        for event in self.received:
            for user in (None, *event.users):
                groups.setdefault((event.type, user), []).append(event)
        return groups


def earliest(stamps: Iterable[tuple[Key, Micros]], since: Micros) -> dict[Key, Micros]:
    """Keep the earliest time of each key, of those at `since` or later."""
    kept: dict[Key, Micros] = {}
    for key, at in stamps:
        if at >= since:
            kept[key] = min(at, kept.get(key, at))
    return kept
