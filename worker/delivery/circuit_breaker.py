"""Decides when nothing is sent to a provider for a while. One bad answer is not enough for that. Pure."""

from collections import Counter, deque
from dataclasses import dataclass, field

from bellhop.clock import Seconds
from bellhop.domain.outcomes import MEANING, Action, AttemptResult, Outcome

FAILURES_TO_OPEN = 20
"""The circuit opens after this many attempts in a row that the provider did not serve."""
OPEN_S = {Action.RETRY_NOW: 0.25, Action.RETRY_LATER: 1.0}
"""How long the circuit then stays open before one push may try again."""
NOT_SERVED = frozenset({Outcome.UNSENT, Outcome.UNKNOWN, Outcome.UNAVAILABLE})
"""The outcomes of an attempt that the provider did not serve."""
REFUSALS_TO_OPEN = 3
"""The circuit opens after our credentials were refused in a row for this many users, or this often for one user. It
counts no devices: one user can register many, and also some that a provider refuses whatever our credentials are."""
ONE_PERSONS_USERS = 10
"""Up to so many refused users may all be one person's. A user who was never refused need not wait for them."""
FIRST_PROBE_S = 1.0
"""The pause from then until one push may try again."""
LONGEST_PROBE_S = 30.0
"""That pause doubles with each refused try, up to this."""
LATELY_S = 120.0
"""How long a provider that failed counts as failing, if no push is tried. Where few rings come, a circuit is open for
moments only, and nobody would hear of it."""
FAULTS_REMEMBERED = 16
"""How many of the latest faults are remembered, to tell a new fault from a known one."""


@dataclass
class CircuitBreaker:
    """Closed while the provider answers. Open after it refused our credentials, or failed, several times in a row."""

    failures: int = 0
    open_until: float = 0.0
    """Seconds of the monotonic clock. Nothing is sent before, except to a user who was never refused."""
    reason: str = ""
    """The reason that the provider gives for refusing our credentials."""
    _refusals: Counter[str] = field(default_factory=Counter)
    """How often our credentials were refused in a row, by user."""
    _probes: int = 0
    """The number of pauses so far. Each is longer than the one before."""
    _probing: bool = False
    """Whether a push is trying."""
    _probe_s: float = 0.0
    """When the latest try began."""
    _failed_s: float = 0.0
    """When the latest failure was counted."""
    _faults: deque[object] = field(default_factory=lambda: deque(maxlen=FAULTS_REMEMBERED))

    @property
    def refused(self) -> bool:
        """Whether the provider refuses our credentials."""
        return bool(self._refusals) and max(len(self._refusals), *self._refusals.values()) >= REFUSALS_TO_OPEN

    @property
    def is_open(self) -> bool:
        """Whether the provider does not serve us, as far as is known."""
        return self.refused or self.failures >= FAILURES_TO_OPEN

    def fails(self, now: Seconds) -> bool:
        """Whether the provider has failed lately and has served nothing since, though it does not refuse us."""
        return not self.refused and self.failures >= FAILURES_TO_OPEN and now - self._failed_s <= LATELY_S

    def admit(self, now: Seconds, user: str) -> Seconds:
        """Let a push to this user try now, and return 0; or return how long it must wait."""
        if not self.is_open:
            return Seconds(0.0)
        until = self.open_until
        if self.refused and user not in self._refusals and len(self._refusals) <= ONE_PERSONS_USERS:
            until = min(until, self._probe_s + FIRST_PROBE_S)
        if now < until:
            return Seconds(until - now)
        # This push tries alone, and the others wait for its outcome.
        self._probing, self._probe_s = True, now
        self.open_until = max(self.open_until, now + (FIRST_PROBE_S if self.refused else OPEN_S[Action.RETRY_NOW]))
        return Seconds(0.0)

    def record(self, result: AttemptResult, user: str, now: Seconds) -> bool:
        """Count the result of an attempt for this user. True if it opened the circuit."""
        if not result.status and result.outcome not in NOT_SERVED:  # the push was not sent, for a reason of ours
            return False
        was_open, action = self.is_open, MEANING[result.outcome].action
        if action is Action.OPEN_CIRCUIT:
            self._record_refusal(result, user, now)
        elif result.outcome not in NOT_SERVED:
            self._close()
        elif self._is_new_fault(result.fault):
            self.failures, self._failed_s = self.failures + 1, now
            if self.failures >= FAILURES_TO_OPEN:
                self.open_until = max(self.open_until, now + OPEN_S[action])
        return self.is_open and not was_open

    def _record_refusal(self, result: AttemptResult, user: str, now: Seconds) -> None:
        was_refused, self.failures, self.reason = self.refused, 0, result.reason or str(result.status)
        if not was_refused or len(self._refusals) <= ONE_PERSONS_USERS:
            self._refusals[user] += 1
        if not self.refused:
            return
        if self._probing or not was_refused:  # pushes sent before it opened are refused too: that is nothing new
            self.open_until = now + min(FIRST_PROBE_S * 2**self._probes, LONGEST_PROBE_S)
            self._probes += 1
            self._probing = False
            if not was_refused:
                self._probe_s = now

    def _is_new_fault(self, fault: object) -> bool:
        """Whether this failure is the first of its cause. All pushes on a connection that breaks fail for one cause."""
        if fault is None:
            return True
        if fault in self._faults:
            return False
        self._faults.append(fault)
        return True

    def _close(self) -> None:
        self.failures, self.open_until, self.reason = 0, 0.0, ""
        self._probes, self._probing = 0, False
        self._refusals.clear()
        self._faults.clear()
