"""How long a lease and a turn last."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lasts, and when no worker is presumed dead."""

    lease_ms: int = 3000
    """How long a lease lasts after it was renewed."""
    silence_ms: int = 1500
    """If no worker renewed its lease for longer than this, Redis was away, or all workers were. Then none is presumed
    dead. This, the pause between two renewals and a late renewal together are shorter than `lease_ms`: no lease ends in
    a silence that is too short to be noticed."""
    turn_ms: int = 450
    """How long a turn lasts: less than the pause between two renewals, so that a worker that lives can have the next
    turn too."""


DEFAULT_TIMES = LeaseTimes()
