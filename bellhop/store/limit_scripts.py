"""The scripts of limits (lua/limits/): rings of one caller, one callee or one call; and budgets of requests to Stream.

A key of rings counts one minute, by the ring's own stamp: so a repeat of the ring is counted in the same minute.
"""

from bellhop.clock import MINUTE_US, Micros
from bellhop.domain.round import Round
from bellhop.store.keys import open_rings_key, rings_by_key, rings_of_call_key, rings_to_key
from bellhop.store.scripts import Argument, Command

MINUTE_TTL_S = 120
OPEN_RINGS_TTL_S = 600
"""Longer than the longest ring."""


def count_for_caller(round_: Round, most: int) -> Command:
    """Count a ring of its caller, who may ring `most` people in a minute. The script returns "ok" or "rings"."""
    key = rings_by_key(round_.tenant, round_.caller_id, _minute(round_))
    return Command("limits/count_ring_of_user", [key], _ring(round_, len(round_.recipients), most))


def count_for_callee(round_: Round, user_id: str, most: int) -> Command:
    """Count a ring for one callee, who may be rung `most` times in a minute. The script returns "ok" or "rings"."""
    key = rings_to_key(round_.tenant, user_id, _minute(round_))
    return Command("limits/count_ring_of_user", [key], _ring(round_, 1, most))


def count_for_call(round_: Round, most: int, most_open: int, now: Micros, *, rings: bool = True) -> Command:
    """Count a ring of its call: `most` people in a minute, and `most_open` rings at the same time.

    `rings` is False for a notification, which is over at once. The script returns "ok", "rings" or "open".
    """
    minute = rings_of_call_key(round_.tenant, round_.cid, _minute(round_))
    over_at = round_.deadline if rings else ""
    args = [*_ring(round_, len(round_.recipients), most), now, over_at, most_open, OPEN_RINGS_TTL_S]
    return Command("limits/count_ring_of_call", [minute, open_rings_key(round_.tenant, round_.cid)], args)


def spend_budget(key: str, per_s: float) -> Command:
    """Take a request from the budget of all processes at `key`. The script returns 1, or 0 if it is spent."""
    return Command("limits/spend_budget", [key], [per_s])


def _ring(round_: Round, people: int, most: int) -> list[Argument]:
    return [f"{round_.started_at}:{round_.cid}", people, most, MINUTE_TTL_S]


def _minute(round_: Round) -> int:
    return round_.started_at // MINUTE_US
