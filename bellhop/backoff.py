"""How long to wait before something is tried again. Pure."""

import random

from bellhop.clock import Seconds

JITTER = (0.5, 1.0)
"""The pause is multiplied by a random number in this range, so that many processes do not retry at the same moment."""
MAX_DOUBLINGS = 32
"""Limits the exponent: without it, 2**attempt overflows a float after about 1,000 attempts."""


def pause_s(attempt: int, first_s: float, longest_s: float, jitter: tuple[float, float] = JITTER) -> Seconds:
    """Return the seconds to wait after attempt number `attempt` (the first one is 0) failed.

    The pause doubles with every attempt, from `first_s` up to `longest_s`, and is then multiplied by the jitter.
    A Retry-After is applied by the caller, as max(pause_s(...), retry_after_s): it may exceed `longest_s`.
    """
    doublings = min(max(attempt, 0), MAX_DOUBLINGS)
    pause: float = min(first_s * 2**doublings, longest_s)
    return Seconds(pause * random.uniform(*jitter))  # noqa: S311 - spreads load, hides nothing
