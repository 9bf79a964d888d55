"""One channel for each provider and app: a limit for its pushes in flight, and a circuit breaker for each environment.

A slow or dead provider fills its own channel and no other.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog

from bellhop.clock import Seconds
from bellhop.domain.device import Environment
from bellhop.domain.outcomes import MEANING, Action, AttemptResult, Outcome
from bellhop.domain.push import Push
from worker.providers.sender import Sender

log = structlog.get_logger()

FAILURES_TO_OPEN = 20
"""The circuit opens after this many attempts in a row that the provider did not serve."""
OPEN_S = {Action.OPEN_CIRCUIT: 30.0, Action.RETRY_NOW: 1.0, Action.RETRY_LATER: 1.0}
"""How long the circuit stays open before one push may try again."""
NOT_SERVED = frozenset({Outcome.UNSENT, Outcome.UNKNOWN, Outcome.UNAVAILABLE})
"""The outcomes of an attempt that the provider did not serve."""


@dataclass
class CircuitBreaker:
    """Closed while the provider answers. Open after it refused our credentials, or failed many times in a row."""

    failures: int = 0
    open_until: float = 0.0
    """Seconds of the monotonic clock. Nothing is sent before."""

    def wait_s(self, now: Seconds) -> Seconds:
        """How long a push must wait; 0: this one may be sent."""
        if now < self.open_until:
            return Seconds(self.open_until - now)
        if self.failures >= FAILURES_TO_OPEN:
            # Half open: this push tries alone, and the others wait for its outcome.
            self.open_until = now + OPEN_S[Action.RETRY_NOW]
        return Seconds(0.0)

    def record_outcome(self, outcome: Outcome, now: Seconds) -> bool:
        """Count the outcome of an attempt. True if it opened the circuit."""
        if outcome is Outcome.DELAYED:  # the push did not reach the provider
            return False
        action = MEANING[outcome].action
        if action is Action.OPEN_CIRCUIT:
            opened = self.failures < FAILURES_TO_OPEN
            self.failures, self.open_until = FAILURES_TO_OPEN, now + OPEN_S[action]
            return opened
        if outcome not in NOT_SERVED:
            self.failures, self.open_until = 0, 0.0
            return False
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = now + OPEN_S[action]
        return self.failures == FAILURES_TO_OPEN


@dataclass
class ProviderChannel:
    """One app at one provider."""

    sender: Sender
    name: str
    """Provider and app, for the log."""
    limit: int = 500
    """Pushes in flight, at most."""

    def __post_init__(self) -> None:
        # Credentials may be valid for one of Apple's environments only, and any user can register a phone of the other.
        # Such a phone must not stop the pushes to all the others, so each environment has a circuit of its own.
        self._circuits = {environment: CircuitBreaker() for environment in Environment}
        self.capacity = asyncio.Semaphore(self.limit)
        """An attempt takes one of these before it claims its device: a claim must not get old while it waits."""
        self.in_flight = 0

    @property
    def blocked(self) -> bool:
        """Whether a circuit is open: nothing is sent to the provider, or to one of Apple's environments."""
        now = time.monotonic()
        return any(circuit.open_until > now for circuit in self._circuits.values())

    async def attempt(self, push: Push, timeout_s: Seconds, start_s: Seconds) -> AttemptResult:
        """Make one attempt (see `Sender.send`). The caller holds one of `capacity`."""
        environment = push.device.environment
        circuit = self._circuits[environment]
        if wait_s := circuit.wait_s(Seconds(time.monotonic())):
            return AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=wait_s)
        self.in_flight += 1
        try:
            result = await self.sender.send(push, timeout_s, start_s)
        finally:
            self.in_flight -= 1
        if circuit.record_outcome(result.outcome, Seconds(time.monotonic())):
            log.error(
                "circuit_opened",
                lane=self.name,
                environment=environment,
                outcome=result.outcome,
                reason=result.reason,
            )
        return result
