"""Which keys come often in a minute: a table of fixed size, kept by each process for itself. Pure."""

from array import array

from bellhop.clock import MINUTE_US, Micros

SLOTS = 131_072
"""With this number, a thousand different keys a second make only few other keys busy. The table takes 1.1 MB."""
NOT_BUSY = 3
"""Up to this many times in a minute, a key is not busy."""


class BusyTable:
    """Counts keys by their hash. So a key may count as busy because of another key, but a busy key is never missed."""

    def __init__(self) -> None:
        self._minute, self._counts = 0, bytearray(SLOTS)
        self._last = array("q", bytes(8 * SLOTS))

    def note(self, key: str, what: str, now: Micros) -> bool:
        """Count that a key comes with `what`; returns whether it has come more than NOT_BUSY times in this minute.

        The same `what` again counts once.
        """
        if now // MINUTE_US > self._minute:
            self._minute, self._counts = now // MINUTE_US, bytearray(SLOTS)
        slot, name = hash(key) % SLOTS, hash(what)
        if self._last[slot] != name:
            self._last[slot] = name
            self._counts[slot] = min(NOT_BUSY + 1, self._counts[slot] + 1)
        return self._counts[slot] > NOT_BUSY
