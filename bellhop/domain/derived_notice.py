"""Missed-call notices that Bellhop sends without a call.missed: when the ring ended, and how long they wait. Pure."""

from collections.abc import Iterable

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.settlement import Settlement, over_at

MISSED_WAIT_US = 1_500_000
"""How long after the caller's cancel a notice waits for Stream's call.missed, which may ask for silence."""
AHEAD_US = 500_000
"""If a cancel's stamp is further ahead of Redis's clock than this, the clocks differ, and the notice does not wait."""


def is_derived(call: CallState, round_: RoundState, settlement: Settlement) -> bool:
    """Tell whether a notice is due although no call.missed has come for it."""
    missed = missed_stamp(Stamp.MISSED, round_.session_id, settlement.user)
    return settlement.notice and not call.at_or_after(missed, round_.started_at)


def was_asked(call: CallState, round_: RoundState, user: str, grace_us: Micros) -> bool:
    """Tell whether Stream was asked since the ring ended for this user."""
    return call.at_or_after(Stamp.ASKED + round_.session_id, ended_at(call, round_, user, grace_us))


def ended_at(call: CallState, round_: RoundState, user: str, grace_us: Micros) -> Micros:
    """Return when the ring ended for this user, by the stamps. If they do not tell, return when the round is over."""
    of_user = [Stamp.BUSY + user, Stamp.TIMED_OUT + user, Stamp.REJECTED + user]
    of_call = [Stamp.ENDED, Stamp.SESSION_ENDED + round_.session_id]
    first = _first_since_start(call, round_, [*of_user, *of_call, *_cancels(round_)])
    return over_at(round_, grace_us) if first is None else first


def _cancels(round_: RoundState) -> list[str]:
    """Name the stamps of a caller who hung up: who rejected the call, or left it."""
    return [stamp + caller for caller in round_.callers for stamp in (Stamp.REJECTED, Stamp.LEFT)]


def _first_since_start(call: CallState, round_: RoundState, names: Iterable[str]) -> Micros | None:
    """Return the first of these stamps since the round's start; None if there is none."""
    moments = (call.times(name).first_since(round_.started_at) for name in names)
    return min((at for at in moments if at is not None), default=None)


def waits_until(call: CallState, round_: RoundState, settlement: Settlement, now: Micros) -> Micros:
    """Return until when a derived notice waits for Stream's call.missed; 0 if it does not wait."""
    if settlement.standing is not Standing.CANCELLED:
        return Micros(0)
    cancelled_at = _first_since_start(call, round_, _cancels(round_)) or Micros(0)
    until = Micros(cancelled_at + MISSED_WAIT_US)
    return until if cancelled_at <= now + AHEAD_US and now < until else Micros(0)
