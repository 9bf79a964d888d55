"""How often, for how long and after which pause a push is attempted: one table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bellhop.backoff import pause_s
from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Action, AttemptResult
from bellhop.domain.push import QUIET, PushKind


def _attempt_s() -> Mapping[Provider, Seconds]:
    return {Provider.APNS: Seconds(3.0), Provider.FCM: Seconds(10.0), Provider.WEB_PUSH: Seconds(5.0)}


def _pauses_s() -> Mapping[Action, tuple[float, float]]:
    later = (0.3, 5.0)
    return {
        Action.RETRY_NOW: (0.02, 0.25),
        Action.RETRY_LATER: later,
        Action.OPEN_CIRCUIT: later,
        Action.CONFIRM: later,
    }


def _most_throttled() -> Mapping[PushKind, int]:
    # A missed-call notice gets eight attempts too: its job runs up to four times (RETRIED_AFTER_S). Rings have no limit
    # here, since they end soon. An alert that rings is repeated some seconds later.
    return {PushKind.MISSED: 2, PushKind.ALERT_RING: 1, **dict.fromkeys(QUIET, 8)}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits of one push. A ring also ends at its own deadline."""

    attempt_s: Mapping[Provider, Seconds] = field(default_factory=_attempt_s)
    """How long an answer may take. Google asks not to repeat a request before ten seconds have passed."""
    prepare_s: Seconds = Seconds(1.0)
    """How long an attempt waits for a connection. Then it claims its device all the same, and its result on the trail
    says why the push waits."""
    admission_s: Seconds = Seconds(0.25)
    """Maximum age of an admission when the push reaches the wire. Later, the call may have been answered."""
    notice_window_s: Seconds = Seconds(150.0)
    """How long a job tries to send a notice. Google, when it gets too many requests, asks for a pause of a minute."""
    most_unknown: int = 3
    """Attempts without an answer after which a push is not repeated, since each of them may have rung the phone.

    The first repeat goes over a connection on which Apple has answered since, or over a new one. The second repeat is
    for a network that fails again.
    """
    most_throttled: Mapping[PushKind, int] = field(default_factory=_most_throttled)
    """Attempts in one run of a job after which a push that the provider throttles is given up, by the kind of push."""
    most_confirmed: int = 3
    """After this many refusals of one push, the provider is believed. A single one may be the provider's mistake."""
    max_quick_repeats: int = 2
    """How often a ring may be repeated sooner than the provider's documentation asks for."""
    pauses_s: Mapping[Action, tuple[float, float]] = field(default_factory=_pauses_s)
    """First and longest pause before another attempt, by what the outcome asks for; doubled each time, with jitter."""
    claimed_pause_s: Seconds = Seconds(0.1)
    """Pause before the fence is asked again about a device that another worker has claimed."""

    def pause_s(self, action: Action, attempts: int, result: AttemptResult) -> Seconds:
        """How long to wait before the next attempt: never less than the provider's Retry-After."""
        return max(pause_s(attempts - 1, *self.pauses_s[action]), result.retry_after_s or Seconds(0.0))
