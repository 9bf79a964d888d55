"""Sends events to one endpoint: limits its requests, notes its health, and buries events that it does not take.

Each endpoint has a separate channel, so a slow or dead endpoint does not delay the others.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from bellhop.clock import Micros, Seconds, elapsed, micros
from bellhop.dead_letters import DeadLetter, OutboxEntry
from bellhop.queue.job_payloads import OutboxRef
from worker.announcements.outbox import Refused, Result, Sent, TryAgain
from worker.events_out.endpoint_health import GONE_S, EndpointHealth
from worker.events_out.endpoint_session import EndpointAnswer, EndpointSession
from worker.events_out.event_signer import EventSigner
from worker.providers.retry_after import retry_after_s

log = structlog.get_logger()

KEPT_S = Seconds(86_400.0)
"""An event is tried for this time after it happened, or after it was put into the outbox again."""
LONGEST_RETRY_AFTER_S = 3_600.0
"""The longest Retry-After that is obeyed. A longer one is shortened to this."""
WAITING = 16
"""Events that may wait at the same time for a place in the channel. Further ones go back to their outboxes."""
WAIT_S = Seconds(10.0)
"""How long an event waits for a place."""
BACKOFF_S = (0.5, 1_800.0)
"""The first and the longest pause before an event is tried again."""
BUSY = TryAgain("too many requests to the endpoint are under way", Seconds(2.0), is_away=False)
"""The pause is so long that the job ends at once, and leaves its place to other endpoints."""
ASK_TO_WAIT = frozenset({429, 503})
GONE = 410
ABOUT_THE_EVENT = frozenset({400, 413, 415, 422})
"""Statuses that say something about one event. Events of other calls are sent as before, also if all are refused."""


@dataclass
class EventChannel:
    """Sends events to one endpoint."""

    name: str
    session: EndpointSession
    signer: EventSigner
    keep_dead_letter: Callable[[DeadLetter], Awaitable[None]]
    now: Callable[[], Micros]
    health: EndpointHealth = field(default_factory=EndpointHealth)

    def __post_init__(self) -> None:
        self.in_flight = self._waiting = 0
        self._places = asyncio.Semaphore(self.session.policy.in_flight)

    @property
    def longest_s(self) -> Seconds:
        """How long `send` takes at most, with a second to spare."""
        return Seconds(WAIT_S + self.session.policy.total_s + 1)

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()

    async def send(self, ref: OutboxRef, text: bytes) -> Result:
        """Send the first event of an outbox. If it cannot be sent for a day, it becomes a dead letter.

        It becomes one at once if a mistake of ours keeps it from being sent: the events behind it must not wait.
        """
        try:
            return await self._send(ref, text)
        except Exception as error:
            log.exception("unexpected_error", error=type(error).__name__)
            entry, _ = OutboxEntry.read(text.decode())
            return await self._given_up(ref, entry.document, type(error).__name__)

    async def _send(self, ref: OutboxRef, text: bytes) -> Result:
        entry, fields = OutboxEntry.read(text.decode())
        result = await self._in_a_place(entry.document, fields)
        if (
            isinstance(result, TryAgain)
            and result != BUSY
            and elapsed(entry.since or _happened(fields), self.now()) > KEPT_S
        ):
            return await self._given_up(ref, entry.document, result.reason)
        return result

    async def _given_up(self, ref: OutboxRef, document: str, reason: str) -> Refused:
        letter = DeadLetter(self.name, ref.tenant, ref.subject, document, reason, at=self.now())
        await self.keep_dead_letter(letter)
        event = letter.event
        log.error("event_dead_lettered", endpoint=self.name, id=event.get("id"), type=event.get("type"), reason=reason)
        return Refused(reason)

    async def _in_a_place(self, document: str, fields: dict[str, Any]) -> Result:
        """Wait for a place, and make one request, unless the endpoint is away."""
        if self._places.locked() and self._waiting >= WAITING:
            return BUSY
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            return BUSY
        finally:
            self._waiting -= 1
        try:
            if wait_s := self.health.admit(time.monotonic()):
                return TryAgain(self.health.reason, wait_s, is_away=self.health.away)
            self.in_flight += 1
            try:
                answer = await self.session.post(self.signer.headers(fields["id"], self.now(), document), document)
            finally:
                self.in_flight -= 1
            return self._judged(answer, fields["id"])
        finally:
            self._places.release()

    def _judged(self, answer: EndpointAnswer, event_id: str) -> Result:
        """Note what an answer shows about the endpoint, and say what to do with the event."""
        if 200 <= answer.status < 300:
            self.health.succeeded()
            return Sent()
        reason = answer.reason or f"HTTP {answer.status}"
        if answer.status in ABOUT_THE_EVENT:
            self.health.refused(reason, event_id)
            return TryAgain(reason, is_away=bool(self.health.takes_nothing))
        wait_s = 0.0
        if answer.status in ASK_TO_WAIT:
            asked_s = retry_after_s(answer.retry_after, Seconds(time.time())) or 0.0
            wait_s = min(asked_s, LONGEST_RETRY_AFTER_S)
        gone = answer.status == GONE
        if gone and not self.health.gone:
            log.error("event_endpoint_gone", endpoint=self.name, pause_s=GONE_S)
        self.health.failed(reason, time.monotonic(), gone=gone, retry_after_s=wait_s)
        return TryAgain(reason, Seconds(GONE_S if gone else wait_s), is_away=self.health.away)


def _happened(fields: dict[str, Any]) -> Micros:
    return micros(Seconds(datetime.fromisoformat(fields["timestamp"]).timestamp()))


@dataclass
class ChannelSender:
    """Sends the events of one outbox through the endpoint's channel (worker/announcements/outbox.py)."""

    channel: EventChannel
    ref: OutboxRef
    longest_s: Seconds
    backoff_s: tuple[float, float] = BACKOFF_S

    async def send(self, document: bytes) -> Result:
        """Send one event."""
        return await self.channel.send(self.ref, document)


def sender_of(channels: Mapping[str, EventChannel], ref: OutboxRef) -> ChannelSender | None:
    """Return what sends the events of an outbox; None if the settings do not have its endpoint."""
    channel = channels.get(ref.destination)
    return ChannelSender(channel, ref, channel.longest_s) if channel else None
