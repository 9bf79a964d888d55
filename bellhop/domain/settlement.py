"""Which recipients' standings are final, and to whom a missed-call notice is due. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from bellhop.clock import Micros
from bellhop.domain.call import NOTICE_DUE, NOTICE_MAX_AGE_US, TAKEN_LATE_US, CallState, RoundState, Standing
from bellhop.domain.standing import Decision, decide


@dataclass(frozen=True, slots=True)
class Settlement:
    """The final standing of one recipient of one round."""

    started_at: Micros
    """The round's stamp."""
    user: str
    standing: Standing
    notice: bool
    """True if a missed-call notice is due, unless one was already given for this round."""
    rings_until: Micros = Micros(0)
    """Until when (unix µs) phones may still ring, although the user has missed the call; 0 if none rings."""


def over_at(round_: RoundState, grace_us: Micros) -> Micros:
    """Return when a round is over for users about whom no event has come."""
    return Micros(max(round_.deadline, round_.missed_due) + grace_us)


def settle(call: CallState, now: Micros, grace_us: Micros) -> Iterator[Settlement]:
    """Find the recipients whose standing is final and not recorded yet, in the order of `unsettled`."""
    for round_, user in unsettled(call):
        settlement = settlement_of(call, round_, user, now, grace_us)
        if settlement is not None:
            yield settlement


def unsettled(call: CallState) -> Iterator[tuple[RoundState, str]]:
    """Yield the recipients of each round whose standing is not recorded yet, the oldest round first.

    Ringless rounds come before all others: if the ring of such a round arrives late, its notice has been given already.
    """
    for round_ in sorted(call.rounds, key=lambda round_: (not round_.ringless, round_.started_at)):
        for user in sorted(round_.recipients - round_.settled):
            yield round_, user


def settlement_of(call: CallState, round_: RoundState, user: str, now: Micros, grace_us: Micros) -> Settlement | None:
    """Settle one recipient; None if the standing is not final."""
    over = over_at(round_, grace_us)
    decision = decide(call, round_, user, now, over)
    return _settlement(round_, user, decision, now) if now >= over or decision.final else None


def _settlement(round_: RoundState, user: str, decision: Decision, now: Micros) -> Settlement:
    """Settle a user with the decided standing, or with STALE if a notice is due but would come too late."""
    standing = decision.standing
    if standing not in NOTICE_DUE:
        return Settlement(round_.started_at, user, standing, notice=False)
    taken_late = round_.taken_at > round_.started_at + TAKEN_LATE_US
    if taken_late or now > round_.deadline + NOTICE_MAX_AGE_US:
        return Settlement(round_.started_at, user, Standing.STALE, notice=False)
    still_rings = decision.only_missed and now < round_.deadline
    until = round_.deadline if still_rings else Micros(0)
    return Settlement(round_.started_at, user, standing, notice=True, rings_until=until)
