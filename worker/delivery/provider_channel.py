"""One channel for each provider and app: places for its pushes in flight, and a circuit breaker for each environment.

A slow or dead provider fills its own channel and no other.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from bellhop.clock import Seconds
from bellhop.domain.device import Device, Environment
from bellhop.domain.outcomes import OF_ONE_ENVIRONMENT, AttemptResult, Outcome
from bellhop.domain.push import Push
from worker.delivery.channel_trouble import ChannelTrouble
from worker.delivery.circuit_breaker import CircuitBreaker
from worker.delivery.priority_slots import PrioritySlots
from worker.delivery.quick_repeats import QuickRepeats
from worker.providers.sender import Sender

log = structlog.get_logger()

CLAIMS_AT_ONCE = 100
"""At most so many pushes claim their devices at the same time. With more, the event loop needs so long to send them
that the last claims are too old."""


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
        self._closings = {environment: asyncio.Event() for environment in Environment}
        self.capacity = PrioritySlots(self.limit)
        """An attempt takes one of these before it claims its device: a claim must not get old while it waits."""
        self.claims = PrioritySlots(CLAIMS_AT_ONCE)
        """An attempt holds one of these while it claims its device."""
        self.in_flight = 0
        self.has_accepted = False
        """Whether the provider has accepted a push since this process started."""
        self.quick_repeats = QuickRepeats()
        self._trouble = ChannelTrouble()

    def of(self, device: Device) -> "ProviderChannel":
        """Return the channel for a device: this one. See `ServiceChannels.of`."""
        return self

    @property
    def blocked(self) -> bool:
        """Whether the provider, or one of Apple's environments, does not serve us, as far as is known: it fails, or
        refuses our credentials for another reason than OF_ONE_ENVIRONMENT."""
        now = Seconds(time.monotonic())
        return bool(self.refused) or any(circuit.fails(now) for circuit in self._circuits.values())

    @property
    def refused(self) -> str:
        """Why the provider refuses our credentials, in its own words; empty if it does not."""
        reasons = [circuit.reason for circuit in self._circuits.values() if circuit.refused]
        return next((reason for reason in reasons if reason not in OF_ONE_ENVIRONMENT), "")

    @property
    def trouble(self) -> AttemptResult | None:
        """The answer that shows why the app's pushes do not arrive; None if they do, as far as is known."""
        if reason := self.refused:
            return AttemptResult(Outcome.CREDENTIALS_REFUSED, reason=reason)
        return self._trouble.wrong_app or (self._trouble.not_served if self.blocked else None)

    async def prepare(self, push: Push, within_s: Seconds) -> None:
        """Wait for what an attempt needs before its device is claimed: a connection, an access token."""
        if self._circuits[push.device.environment].refused:
            return  # few pushes may try now, and such a push connects when it is sent
        await self.sender.prepare(push.device.environment, within_s)

    async def until_closed(self, push: Push, within_s: Seconds) -> None:
        """Wait until the circuit has closed, or for `within_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._closings[push.device.environment].wait()

    async def attempt(self, push: Push, timeout_s: Seconds, start_s: Seconds) -> AttemptResult:
        """Make one attempt (see `Sender.send`). The caller holds one of `capacity`."""
        environment, user = push.device.environment, f"{push.tenant}:{push.device.user_id}"
        circuit, closing = self._circuits[environment], self._closings[environment]
        if wait_s := circuit.admit(Seconds(time.monotonic()), user):
            closing.clear()
            reason = circuit.reason if circuit.refused else ""
            return AttemptResult(Outcome.CIRCUIT_OPEN, reason=reason, retry_after_s=wait_s)
        self.in_flight += 1
        try:
            result = await self.sender.send(push, timeout_s, start_s)
        finally:
            self.in_flight -= 1
        self._trouble.record(result, user)
        if result.outcome is Outcome.ACCEPTED:
            self.has_accepted = True
            self.quick_repeats.note_accepted()
        if circuit.record(result, user, Seconds(time.monotonic())):
            log.error(
                "circuit_opened",
                lane=self.name,
                environment=environment,
                outcome=result.outcome,
                reason=result.reason,
            )
        if not circuit.is_open:
            closing.set()
        return result
