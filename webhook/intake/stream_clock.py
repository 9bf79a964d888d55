"""Stream's time now, for each event: what its stamps and deadlines are compared with (docs/decisions/0009)."""

import time
from typing import NamedTuple

import structlog

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, seconds
from bellhop.domain.clock_offset import MAX_US, ClockOffset, observe
from bellhop.store import clock_differences
from webhook.intake_redis import IntakeRedis

MAX_AGE_S = Seconds(5.0)
"""How long a process uses what it read. Then it reads again, and writes what it learned. It does so at once if an event
does not fit, or if it learned a difference."""
log = structlog.get_logger()


class StreamTime(NamedTuple):
    """The time at which an event arrived."""

    now: Micros
    """By Stream's clock."""
    redis_ahead_us: int = 0
    """How far Redis's clock is ahead of it."""


class StreamClock:
    """The clock of one Stream app, as this process knows it."""

    def __init__(self, redis: IntakeRedis, tenant: str) -> None:
        self._redis, self._tenant = redis, tenant
        self._known, self._unwritten, self._valid_until_s = ClockOffset(), False, 0.0

    def at_arrival(self, stamp: Micros | None, arrived: Micros, *, may_be_late: bool) -> StreamTime:
        """Return Stream's time when an event arrived, and learn from its stamp. Raises redis.exceptions.RedisError.

        `arrived`: by Redis's clock. `may_be_late`: the event came through a queue.
        """
        if stamp is None:
            now = Micros(arrived - self._current(fits=True).applied_us)
        else:
            known = self._current(fits=self._known.fits(arrived - stamp))
            learned = observe(known, stamp, arrived, may_be_late=may_be_late)
            self._learn(known, learned)
            now = _not_before(stamp, Micros(arrived - learned.applied_us))
        return StreamTime(now, arrived - now)

    def _current(self, *, fits: bool) -> ClockOffset:
        """Return what is known. An event that does not fit is compared with what other processes know by now."""
        if not fits or time.monotonic() >= self._valid_until_s:
            self._known = self._exchange(write=self._unwritten and fits)
            self._unwritten, self._valid_until_s = False, time.monotonic() + MAX_AGE_S
        return self._known

    def _learn(self, known: ClockOffset, learned: ClockOffset) -> None:
        self._known, self._unwritten = learned, self._unwritten or learned != known
        if learned.doubt_at != known.doubt_at or learned.applied_us != known.applied_us:
            self._exchange(write=True)
            self._unwritten = False
        if abs(learned.applied_us - known.applied_us) > MICROS_PER_SECOND:
            log.warning("stream_clock_differs", tenant=self._tenant, redis_ahead_s=float(seconds(learned.applied_us)))

    def _exchange(self, *, write: bool) -> ClockOffset:
        """Write what is known, and read what Redis has then: one round trip."""
        commands = clock_differences.write(self._tenant, self._known) if write else []
        answers = self._redis.together(*commands, clock_differences.read(self._tenant))
        return clock_differences.read_answer(answers[-1])


def _not_before(stamp: Micros, now: Micros) -> Micros:
    """No event arrives before its stamp, unless the stamp is too far ahead to be believed."""
    return max(now, stamp) if stamp - now <= MAX_US else now
