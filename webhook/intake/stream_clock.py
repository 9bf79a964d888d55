"""Stream's time when an event arrives. Stamps and deadlines are compared with it (docs/decisions/0009)."""

import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds, seconds
from bellhop.domain.clock_offset import MAX_US, ClockOffset, observe
from bellhop.store import clock_differences
from bellhop.store.homes import Partition, partition_with
from webhook.intake_redis import IntakeRedis

MAX_AGE_S = Seconds(5.0)
"""How long a process uses the difference that it read. Then it reads again, and writes what it has learned. If an event
does not fit, it reads at once; if it has learned a new difference, it writes at once."""
log = structlog.get_logger()


class StreamTime(NamedTuple):
    """The time at which an event arrived."""

    now: Micros
    """By Stream's clock."""
    redis_ahead_us: int = 0
    """How far Redis's clock is ahead of it."""


class StreamClocks:
    """The clock of one Stream app, as this process knows it. Each partition of Redis may have another difference.

    A partition that knows nothing yet begins with what this process has learned in another one: the clocks of a
    cluster's servers usually agree.
    """

    def __init__(self, redis: IntakeRedis, tenant: str) -> None:
        self._redis, self._tenant = redis, tenant
        self._clocks: dict[Partition, StreamClock] = {}

    def beside(self, key: str) -> "StreamClock":
        """Return the clock for what is in the partition of `key`, which names its home."""
        partition = partition_with(key, self._redis.partitions)
        if partition not in self._clocks:
            self._clocks[partition] = StreamClock(self._redis, self._tenant, partition, self._latest)
        return self._clocks[partition]

    def _latest(self) -> ClockOffset:
        return max(
            (clock.known for clock in self._clocks.values()), key=lambda known: (known.fitted_at, known.doubt_at)
        )


class StreamClock:
    """The clock of one Stream app, as this process knows it in one partition."""

    def __init__(
        self, redis: IntakeRedis, tenant: str, partition: Partition, latest: Callable[[], ClockOffset]
    ) -> None:
        """`latest`: what this process has learned, in whichever partition."""
        self._redis, self._tenant, self._partition, self._latest = redis, tenant, partition, latest
        self.known, self._unwritten, self._valid_until_s = ClockOffset(), False, 0.0

    def at_arrival(self, stamp: Micros | None, arrived: Micros, *, may_be_late: bool) -> StreamTime:
        """Return Stream's time when an event arrived, and learn from its stamp. Raises redis.exceptions.RedisError.

        `arrived`: by Redis's clock. `may_be_late`: the event came through a queue.
        """
        if stamp is None:
            now = Micros(arrived - self._current(fits=True).applied_us)
        else:
            known = self._current(fits=self.known.fits(arrived - stamp))
            learned = observe(known, stamp, arrived, may_be_late=may_be_late)
            self._learn(known, learned)
            now = _not_before(stamp, Micros(arrived - learned.applied_us))
        return StreamTime(now, arrived - now)

    def _current(self, *, fits: bool) -> ClockOffset:
        """Return the known difference. If the event does not fit, read first what other processes have learned."""
        if not fits or time.monotonic() >= self._valid_until_s:
            self.known = self._exchange(write=self._unwritten and fits)
            if not self.known.fitted_at and (latest := self._latest()) != self.known:
                self.known = latest
                self._exchange(write=True)
            self._unwritten, self._valid_until_s = False, time.monotonic() + MAX_AGE_S
        return self.known

    def _learn(self, known: ClockOffset, learned: ClockOffset) -> None:
        self.known, self._unwritten = learned, self._unwritten or learned != known
        moved_us = learned.applied_us - known.applied_us
        if learned.doubt_at != known.doubt_at or moved_us:
            self._exchange(write=True)
            self._unwritten = False
        if abs(moved_us) > MICROS_PER_SECOND:
            log.warning("stream_clock_differs", tenant=self._tenant, redis_ahead_s=float(seconds(learned.applied_us)))

    def _exchange(self, *, write: bool) -> ClockOffset:
        """Write the known difference if `write` is set, and read it back, in one round trip."""
        commands = clock_differences.write(self._tenant, self.known, self._partition) if write else []
        answers = self._redis.together(*commands, clock_differences.read(self._tenant, self._partition))
        return clock_differences.read_answer(answers[-1])


def _not_before(stamp: Micros, now: Micros) -> Micros:
    """Return `now`, or the stamp if it is later: no event arrives before it. A stamp too far ahead is not believed."""
    return max(now, stamp) if stamp - now <= MAX_US else now
