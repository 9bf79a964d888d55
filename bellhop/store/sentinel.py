"""When a Redis client must check with the Sentinels that its server is still the primary. Pure.

Up to ten seconds after a failover, a server that hung or was cut off may still act as the primary. Writes to it are
lost. So the clients look up the primary regularly, and after a late answer they use a server only if the Sentinels
confirm it. The clients and replication.py do the I/O.
"""

from collections.abc import Iterable
from typing import Any

from bellhop.clock import Seconds

LOOKUP_S = 1.0
"""How often a client looks up the primary at the Sentinels."""
LATE_S = 0.5
"""An answer that took longer is late: the server hung, and another may be the primary by now."""
DOUBT_S = 3.0
"""How long a server is in doubt after a late answer. The Sentinels do not all learn of a failover at the same time."""
DEMOTED = "this server is a replica now"
"""The message of the error when a client finds that its server is not the primary any more."""


class PrimaryDoubt:
    """Decides when a client looks up the primary, and when its server is in doubt. All times are monotonic."""

    def __init__(self) -> None:
        self._next_lookup_s = 0.0
        self._doubt_ends_s = 0.0

    def lookup_is_due(self, now: Seconds) -> bool:
        """Return whether to look up the primary now; true at most once in LOOKUP_S."""
        if now < self._next_lookup_s:
            return False
        self._next_lookup_s = now + LOOKUP_S
        return True

    def note_answer(self, sent_at: Seconds, now: Seconds) -> bool:
        """Note that a command of `sent_at` was answered. Returns whether the answer is late: the doubt begins."""
        late = now - sent_at > LATE_S
        if late:
            self._doubt_ends_s = now + DOUBT_S
        return late

    def is_in_doubt(self, now: Seconds) -> bool:
        """Return whether the server may be used only if the Sentinels confirm it."""
        return now < self._doubt_ends_s


def names_another(answers: Iterable[Any], server: Any) -> bool:
    """Return whether at least one Sentinel names a primary other than `server` (host, port).

    `answers` are the Sentinels' answers to SENTINEL GET-MASTER-ADDR-BY-NAME, as redis-py returns them. During a
    failover, the leading Sentinel gives the new primary there before its other commands do.
    """
    primaries = [(host.decode() if isinstance(host, bytes) else host, port) for host, port in filter(None, answers)]
    return any(primary != server for primary in primaries)
