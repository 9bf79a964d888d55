"""Missed-call notices that no call.missed asks for: since when they are due, and what they wait for. Pure."""

from collections.abc import Iterator

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.settlement import Settlement, over_at

MISSED_WAIT_US = 1_500_000
"""How long after the caller's cancel a notice waits for Stream's call.missed, which may ask for silence."""
AHEAD_US = 500_000
"""A cancel that is stamped further ahead of Redis's clock than this is not waited for: the clocks differ."""


def is_derived(call: CallState, round_: RoundState, settlement: Settlement) -> bool:
    """Tell whether a notice is due that no call.missed asks for."""
    missed = missed_stamp(Stamp.MISSED, round_.session_id, settlement.user)
    return settlement.notice and not call.at_or_after(missed, round_.started_at)


def was_asked(call: CallState, round_: RoundState, user: str, grace_us: Micros) -> bool:
    """Tell whether Stream was asked since the ring ended for this user."""
    return call.at_or_after(Stamp.ASKED + round_.session_id, ended_at(call, round_, user, grace_us))


def ended_at(call: CallState, round_: RoundState, user: str, grace_us: Micros) -> Micros:
    """Return when the ring ended for this user, as far as the stamps say; else when it is over for everybody."""
    return min(_ends(call, round_, user), default=over_at(round_, grace_us))


def _ends(call: CallState, round_: RoundState, user: str) -> Iterator[Micros]:
    names = [Stamp.BUSY + user, Stamp.TIMED_OUT + user, Stamp.REJECTED + user]
    for name in (*names, Stamp.ENDED, Stamp.SESSION_ENDED + round_.session_id):
        yield from (stamp.at for stamp in call.all_of(name) if stamp.at >= round_.started_at)
    yield from _cancels(call, round_)


def _cancels(call: CallState, round_: RoundState) -> Iterator[Micros]:
    """Find when a caller hung up: rejected the call, or left it."""
    for caller in round_.callers:
        for name in (Stamp.REJECTED + caller, Stamp.LEFT + caller):
            yield from (stamp.at for stamp in call.all_of(name) if stamp.at >= round_.started_at)


def waits_until(call: CallState, round_: RoundState, settlement: Settlement, now: Micros) -> Micros:
    """Return until when a derived notice waits for Stream's call.missed; 0 if it does not wait."""
    if settlement.standing is not Standing.CANCELLED:
        return Micros(0)
    cancelled_at = min(_cancels(call, round_), default=Micros(0))
    until = Micros(cancelled_at + MISSED_WAIT_US)
    return until if cancelled_at <= now + AHEAD_US and now < until else Micros(0)
