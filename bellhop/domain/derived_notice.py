"""Missed-call notices that Bellhop sends without a call.missed: when the ring ended, and how long they wait. Pure."""

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Stamp, Standing, missed_stamp
from bellhop.domain.settlement import Settlement, over_at
from bellhop.domain.standing import NEVER, cancelled_at, stopped_at

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
    stopped = stopped_at(call, round_, user)
    return over_at(round_, grace_us) if stopped == NEVER else stopped


def waits_until(call: CallState, round_: RoundState, settlement: Settlement, now: Micros) -> Micros:
    """Return until when a derived notice waits for Stream's call.missed; 0 if it does not wait."""
    if settlement.standing is not Standing.CANCELLED:
        return Micros(0)
    cancelled = cancelled_at(call, round_)
    until = Micros(cancelled + MISSED_WAIT_US)
    return until if cancelled <= now + AHEAD_US and now < until else Micros(0)
