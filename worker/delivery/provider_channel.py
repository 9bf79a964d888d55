"""One lane to each provider and app: how many pushes may be under way, and circuits that open when the provider is no
use: for Apple one for each of its environments.

A slow or dead provider fills its own lane and no other.
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
"""Attempts in a row that found no working provider before the circuit opens."""
OPEN_S = {Action.OPEN_CIRCUIT: 30.0, Action.RETRY_NOW: 1.0, Action.RETRY_LATER: 1.0}
"""How long the circuit stays open before one push may try again."""
NO_PROVIDER = frozenset({Outcome.UNSENT, Outcome.UNKNOWN, Outcome.UNAVAILABLE})


@dataclass
class CircuitBreaker:
    """Closed while the provider answers; open after it refused our credentials or failed many times in a row."""

    failures: int = 0
    closed_from: float = 0.0
    """Monotonic time in seconds; before it nothing goes out."""

    def wait_s(self, now: Seconds) -> Seconds:
        """How long until a push may try; 0 lets this one through."""
        if now < self.closed_from:
            return Seconds(self.closed_from - now)
        if self.failures >= FAILURES_TO_OPEN:
            # Half open: this push tries alone; the others wait for what it finds.
            self.closed_from = now + OPEN_S[Action.RETRY_NOW]
        return Seconds(0.0)

    def learn(self, outcome: Outcome, now: Seconds) -> bool:
        """Take an attempt's outcome in; true when the circuit opened by it."""
        if outcome is Outcome.DELAYED:  # says nothing of the provider
            return False
        action = MEANING[outcome].action
        if action is Action.OPEN_CIRCUIT:
            opened = self.failures < FAILURES_TO_OPEN
            self.failures, self.closed_from = FAILURES_TO_OPEN, now + OPEN_S[action]
            return opened
        if outcome not in NO_PROVIDER:
            self.failures, self.closed_from = 0, 0.0
            return False
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.closed_from = now + OPEN_S[action]
        return self.failures == FAILURES_TO_OPEN


@dataclass
class ProviderChannel:
    """The way to one app at one provider."""

    sender: Sender
    name: str
    """Provider and app, for people."""
    limit: int = 500
    """Pushes that may be under way."""

    def __post_init__(self) -> None:
        # Credentials may be good for one of Apple's environments only, and anybody may register a phone of the other.
        self.circuits = {environment: CircuitBreaker() for environment in Environment}
        self.slots = asyncio.Semaphore(self.limit)
        self.under_way = 0

    @property
    def blocked(self) -> bool:
        """Whether a circuit is open: pushes are kept from the provider, of Apple's environments from one at least."""
        now = time.monotonic()
        return any(circuit.closed_from > now for circuit in self.circuits.values())

    async def attempt(self, push: Push, timeout_s: Seconds, start_s: Seconds) -> AttemptResult:
        """Make one attempt (see `Sender.send`); the caller holds one of `slots`."""
        environment = push.device.environment
        circuit = self.circuits[environment]
        if wait_s := circuit.wait_s(Seconds(time.monotonic())):
            return AttemptResult(Outcome.CIRCUIT_OPEN, retry_after_s=wait_s)
        self.under_way += 1
        try:
            answer = await self.sender.send(push, timeout_s, start_s)
        finally:
            self.under_way -= 1
        if circuit.learn(answer.outcome, Seconds(time.monotonic())):
            log.error(
                "circuit_opened",
                lane=self.name,
                environment=environment,
                outcome=answer.outcome,
                reason=answer.reason,
            )
        return answer
