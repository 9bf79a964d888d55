"""How far Redis's clock is ahead of Stream's, learned from the arrival of events. Pure.

Stamps and deadlines are in Stream's time, and so is everything that is compared with them. docs/decisions/0009 gives
the reasons.
"""

import msgspec

from bellhop.clock import MICROS_PER_SECOND, Micros

MAX_US = 3600 * MICROS_PER_SECOND
"""A larger difference is not believed. The limit must be shorter than the time for which Redis keeps a call
(`bellhop.domain.call.CALL_TTL_S`): a ring that is posted again much later must find the state of its call."""
FITS_US = 20 * MICROS_PER_SECOND
"""An event fits if its difference is at most this far from the known one. Stream repeats an event for 15 s."""
AGREE_US = 2 * MICROS_PER_SECOND
"""Two events agree if their differences are at most this far apart. Then a new difference is learned from them."""
STALLED_US = 120 * MICROS_PER_SECOND
"""A process that stood still may read events that waited for up to this time."""
APART_US = 5 * MICROS_PER_SECOND
"""Nothing is learned from two events that may have waited in such a process, if they arrive within this time."""
RECENT_US = 60 * MICROS_PER_SECOND
"""For this time after an event that fits, a larger difference means that an event is late. The known difference is the
smallest of the events within this time."""
NEVER = Micros(0)


class ClockOffset(msgspec.Struct, frozen=True, gc=False):
    """What is known of the difference between the clocks. A difference is an event's arrival minus its stamp."""

    ahead_us: int = 0
    """The known difference."""
    fitted_at: Micros = NEVER
    """When the last event arrived that fits it, by Redis's clock."""
    least_us: int = 0
    """The smallest difference of an event that fitted, since `least_since`."""
    least_since: Micros = NEVER
    doubt_us: int = 0
    """The difference of the last event that does not fit, if `doubt_at` is set."""
    doubt_at: Micros = NEVER

    @property
    def applied_us(self) -> int:
        """How far Redis's clock counts as ahead of Stream's. A small lead counts as none: late events look the same."""
        return 0 if 0 < self.ahead_us <= FITS_US else self.ahead_us

    def fits(self, difference_us: int) -> bool:
        """Tell whether an event with this difference agrees with what is known."""
        return abs(difference_us - self.ahead_us) <= FITS_US


def observe(known: ClockOffset, stamp: Micros, arrived: Micros, *, may_be_late: bool = False) -> ClockOffset:
    """Learn from an event that arrived at `arrived` by Redis's clock.

    `may_be_late`: the event came through a queue, which may have kept it for long.
    """
    difference_us = arrived - stamp
    if abs(difference_us) > MAX_US or _only_late(known, difference_us, arrived, may_be_late=may_be_late):
        return known
    if known.fits(difference_us):
        return _fitted(known, difference_us, arrived)
    if abs(difference_us) <= FITS_US and difference_us < known.ahead_us:  # the clocks agree: no event arrives too early
        return _certain(difference_us, arrived)
    return _doubted(known, difference_us, arrived)


def _only_late(known: ClockOffset, difference_us: int, arrived: Micros, *, may_be_late: bool) -> bool:
    return difference_us > known.ahead_us + FITS_US and (may_be_late or _is_recent(known.fitted_at, arrived))


def _doubted(known: ClockOffset, difference_us: int, arrived: Micros) -> ClockOffset:
    """Learn from an event that does not fit: its difference is believed if it agrees with that of the event before."""
    if not known.doubt_at or abs(difference_us - known.doubt_us) > AGREE_US:
        return msgspec.structs.replace(known, doubt_us=difference_us, doubt_at=arrived)
    may_have_waited = 0 < difference_us - known.ahead_us <= STALLED_US
    if may_have_waited and 0 <= arrived - known.doubt_at < APART_US:
        return known
    return _certain(min(difference_us, known.doubt_us), arrived)


def observe_answer(known: ClockOffset, stream_now: Micros, redis_now: Micros) -> ClockOffset:
    """Learn from the time in an answer of Stream's. An event that fitted in the last minute counts more."""
    difference_us = redis_now - stream_now
    if _is_recent(known.fitted_at, redis_now) or known.fits(difference_us) or abs(difference_us) > MAX_US:
        return known
    return _certain(difference_us, redis_now)


def _certain(difference_us: int, at: Micros) -> ClockOffset:
    return ClockOffset(difference_us, at, difference_us, at)


def _fitted(known: ClockOffset, difference_us: int, arrived: Micros) -> ClockOffset:
    """Follow the smallest difference of the last events: down at once, up after a minute."""
    least_us = min(known.least_us, difference_us)
    if _is_recent(known.least_since, arrived):
        return ClockOffset(min(known.ahead_us, least_us), arrived, least_us, known.least_since)
    ahead_us = least_us if known.least_since else difference_us
    return ClockOffset(ahead_us, arrived, difference_us, arrived)


def _is_recent(moment: Micros, now: Micros) -> bool:
    return 0 <= now - moment < RECENT_US
