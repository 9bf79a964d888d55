"""Which server is the primary, and when to doubt it: what both clients share about Sentinel. Pure.

A primary that hung, or was cut off from the others, takes itself for the primary for up to ten seconds after another
was promoted. What it takes in then is lost. So both clients ask the Sentinels regularly who the primary is; and they
believe a server that answered late only after the Sentinels have confirmed it. The pools of the two clients do the I/O.
"""

from collections.abc import Iterable
from typing import Any

from bellhop.clock import Seconds

LOOK_S = 1.0
"""How often the Sentinels are asked who the primary is."""
LATE_S = 0.5
"""A server that took longer to answer hung, and may not be the primary any more."""
DOUBT_S = 3.0
"""For how long after a late answer a server is believed only if the Sentinels confirm it. They learn of a failover one
after the other."""
DEMOTED = "this server is a replica now"


class PrimaryDoubt:
    """When to ask the Sentinels. Every time is monotonic, in seconds."""

    def __init__(self) -> None:
        self._look_at = 0.0
        self._until = 0.0

    def must_look(self, now: Seconds) -> bool:
        """Whether to ask who the primary is; true at most once in LOOK_S."""
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_S
        return True

    def note_answer(self, asked_at: Seconds, now: Seconds) -> bool:
        """Take note of an answer; returns whether it came late, which begins a time of doubt."""
        late = now - asked_at > LATE_S
        if late:
            self._until = now + DOUBT_S
        return late

    def holds(self, now: Seconds) -> bool:
        """Whether the Sentinels must confirm a server before it is believed."""
        return now < self._until


def names_another(answers: Iterable[Any], server: Any) -> bool:
    """Whether a Sentinel names another server than `server` (host, port) as the primary.

    `answers` are those of SENTINEL GET-MASTER-ADDR-BY-NAME, as redis-py gives them. The Sentinel that leads a failover
    gives the new primary there first; its list of primaries changes only after the replicas were moved.
    """
    primaries = [(host.decode() if isinstance(host, bytes) else host, port) for host, port in filter(None, answers)]
    return any(primary != server for primary in primaries)
