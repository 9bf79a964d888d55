"""Decides which rings are repeated sooner than a provider's documentation asks for. Pure.

Google asks senders to wait 10 or 60 s after an error, because repeats add to an overload. Few errors among many
accepted pushes are no sign of an overload, and after 10 s a ring may be over. So the number of early repeats is a share
of the accepted pushes: the load on the provider rises by that share at most.
"""

from dataclasses import dataclass

MAX_QUICK_REPEATS = 10
"""So many pushes can be repeated early although none was accepted since."""
ACCEPTED_PER_REPEAT = 10
"""So many accepted pushes allow another early repeat."""


@dataclass
class QuickRepeats:
    """The early repeats that one channel may still make."""

    left: float = MAX_QUICK_REPEATS

    def note_accepted(self) -> None:
        """Count an accepted push."""
        self.left = min(MAX_QUICK_REPEATS, self.left + 1 / ACCEPTED_PER_REPEAT)

    def take(self) -> bool:
        """Use up one early repeat; False if there is none left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
