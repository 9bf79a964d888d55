"""Drains outboxes: sends the announcements of each in order, one at a time, until it is empty.

An announcement leaves its outbox only after it was sent or given up. So none is lost if a worker dies: another worker
sends the first announcement again, with the same id. A claim keeps other runs away meanwhile (lua/outbox/).
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from bellhop.audience import draining_job
from bellhop.backoff import pause_s
from bellhop.clock import Seconds, elapsed, micros
from bellhop.queue.job_payloads import OutboxRef, read_payload
from bellhop.queue.names import OutboxJobName
from bellhop.store.async_client import Store
from bellhop.store.outbox_scripts import Outbox, drain_outbox, put_off_outbox
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics
from bellhop.telemetry.outage import Outage
from worker.gentle_start import Begun

log = structlog.get_logger()

WAIT_HERE_S = Seconds(1.0)
"""A pause of this length or less is waited for in the job. For a longer one, another job is scheduled."""
HELD_PAUSE_S = Seconds(0.1)
"""Pause before a job looks again whether the run that drains its outbox has ended."""
LONGEST_RUN_S = Seconds(60.0)
"""After this time a run leaves the rest to another job. Otherwise a slow destination could exceed the job's timeout."""
UNKNOWN_PAUSES_S = (60.0, 3_600.0)
"""First and longest pause if the settings of this worker do not have the destination. Another worker may have it. If it
was removed from all settings, its outboxes expire. There may be very many, so each is looked at rarely until then."""


class Sent(NamedTuple):
    """The announcement was sent."""


class TryAgain(NamedTuple):
    """It could not be sent now."""

    reason: str
    after_s: Seconds = Seconds(0.0)
    """The shortest pause that the receiver asks for."""
    is_away: bool = True
    """Whether the destination seems to be away. If not, the log does not say so: it may take other announcements."""


class Refused(NamedTuple):
    """It is given up: another try would not help, or comes too late."""

    reason: str
    is_away: bool = False
    """Whether the destination seems to take no announcement at all."""


Result = Sent | TryAgain | Refused
OUTCOMES = {Sent: "sent", TryAgain: "put_off", Refused: "dropped"}
"""The result of a try to send an announcement, as metrics name it."""


class _Stamped(msgspec.Struct):
    """The part of a document that is read here."""

    timestamp: datetime


class AnnouncementSender(Protocol):
    """Sends announcements to one destination. It does not raise if that fails."""

    longest_s: Seconds
    """How long `send` takes at most."""
    backoff_s: tuple[float, float]
    """First and longest pause before another try."""

    async def send(self, document: bytes) -> Result:
        """Send one announcement."""
        ...


class OutboxJobs:
    """The handler of the jobs that drain outboxes, for destinations of one kind."""

    def __init__(
        self,
        store: Store,
        worker: str,
        job_name: OutboxJobName,
        find_sender: Callable[[OutboxRef], AnnouncementSender | None],
        clock: RedisClock,
    ) -> None:
        """`find_sender` returns None if the settings do not have the destination."""
        self.store, self.worker, self.job_name, self.clock = store, worker, job_name, clock
        self._find_sender = find_sender
        self._outages: dict[str, Outage] = {}
        """By destination."""

    async def drain(self, payload: dict[str, Any], begun: Begun = lambda: None) -> None:
        """Send what waits in one outbox. `begun` is called when the first announcement goes out."""
        ref = read_payload(self.job_name, payload)
        sender: AnnouncementSender = self._find_sender(ref) or _NoSender()
        await _Run(self, ref, sender).drain(begun)

    def note(self, destination: str, document: bytes, result: Result) -> None:
        """Count a try to send an announcement, and log when a destination fails and when it works again."""
        metrics.ANNOUNCEMENTS.add(destination, OUTCOMES[type(result)])
        outage = self._outages.get(destination) or self._outages.setdefault(
            destination, Outage("announcing_fails", "announcing_works", destination=destination)
        )
        if not isinstance(result, Sent):
            if result.is_away:
                outage.note_error(result.reason)
            return
        outage.note_answer()
        found_out = msgspec.json.decode(document, type=_Stamped).timestamp.timestamp()
        metrics.ANNOUNCING.observe(elapsed(micros(Seconds(found_out)), self.clock.now()), destination)


class _NoSender:
    """Stands for a destination that the settings do not have."""

    longest_s: Seconds = Seconds(1.0)
    backoff_s: tuple[float, float] = UNKNOWN_PAUSES_S

    async def send(self, document: bytes) -> Result:
        return TryAgain("the settings of this worker do not have the destination", Seconds(UNKNOWN_PAUSES_S[0]))


class _Run:
    """One run of one job."""

    def __init__(self, jobs: OutboxJobs, ref: OutboxRef, sender: AnnouncementSender) -> None:
        self._jobs, self._ref, self._sender = jobs, ref, sender
        self._outbox = Outbox(ref.destination, ref.tenant, ref.subject)
        self._run = secrets.token_hex(6)
        self._claim_s = Seconds(sender.longest_s + WAIT_HERE_S + 2)

    async def drain(self, begun: Begun) -> None:
        try:
            done, tries, ends_s = b"", 0, time.monotonic() + LONGEST_RUN_S
            while (first := await self._first(done)) is not None:
                begun()
                document, failures = first
                if time.monotonic() > ends_s:
                    return await self._put_off(Seconds(0.0), failures + tries)
                result = await self._send(document)
                if not isinstance(result, TryAgain):
                    done, tries = document, 0
                    continue
                wait_s = max(pause_s(failures + tries, *self._sender.backoff_s), result.after_s)
                if wait_s > WAIT_HERE_S:
                    return await self._put_off(wait_s, failures + tries + 1)
                await asyncio.sleep(wait_s)
                done, tries = b"", tries + 1
        except asyncio.CancelledError:
            # The next run would wait for the end of this claim.
            await asyncio.shield(self._script(self._claim(Seconds(0.0))))
            raise

    async def _first(self, done: bytes) -> tuple[bytes, int] | None:
        """Remove the announcement that is done; returns the first one, and how often it failed, or None."""
        command = self._claim(self._claim_s, done)
        while True:
            kind, *first = await self._script(command)
            if kind != b"held":
                return (first[0], int(first[1])) if first else None
            await asyncio.sleep(HELD_PAUSE_S)

    async def _send(self, document: bytes) -> Result:
        try:
            async with asyncio.timeout(self._sender.longest_s):
                result = await self._sender.send(document)
        except TimeoutError:
            result = TryAgain("no answer in time")
        except Exception as error:  # a mistake of ours: it must not keep the announcements behind it
            log.exception("unexpected_error", error=type(error).__name__)
            result = Refused(type(error).__name__)
        self._jobs.note(self._ref.destination, document, result)
        return result

    async def _put_off(self, wait_s: Seconds, failures: int) -> None:
        jobs, now = self._jobs, self._jobs.clock.now()
        job = draining_job(jobs.job_name, self._ref.model_copy(update={"queued_at": now + micros(wait_s)}))
        await self._script(
            put_off_outbox(
                self._outbox, job, worker=jobs.worker, run=self._run, wait_s=wait_s, now=now, failures=failures
            )
        )

    def _claim(self, claim_s: Seconds, done: bytes = b"") -> Command:
        worker = self._jobs.worker
        return drain_outbox(self._outbox, worker=worker, run=self._run, claim_us=micros(claim_s), done=done)

    async def _script(self, command: Command) -> Any:
        return await until_redis_answers(partial(self._jobs.store.script, *command))
