"""The logarithmic time axis of the picture. Pure."""

import math
from dataclasses import dataclass
from typing import Self

from bellhop.clock import Micros

KNEE_US = 20_000
"""The axis is about linear up to here."""
SHORTEST_US = Micros(1_000_000)
LEFT, WIDTH = 1.5, 97.0
"""In percent of the picture's width."""
TICKS_US = {
    0: "0",
    100_000: "0.1 s",
    1_000_000: "1 s",
    10_000_000: "10 s",
    60_000_000: "1 min",
    600_000_000: "10 min",
    3_600_000_000: "1 h",
    86_400_000_000: "1 day",
}


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """From the start of the round until `end_us`."""

    end_us: Micros

    @classmethod
    def until(cls, end_us: Micros) -> Self:
        """Make an axis that reaches to `end_us`, and is at least SHORTEST_US long."""
        return cls(max(SHORTEST_US, end_us))

    def x(self, after_us: float) -> float:
        """Return the position of a time, in percent of the picture's width."""
        return round(LEFT + WIDTH * math.log1p(max(after_us, 0) / KNEE_US) / math.log1p(self.end_us / KNEE_US), 2)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return the position and the label of each tick."""
        return tuple((self.x(after_us), label) for after_us, label in TICKS_US.items() if after_us <= self.end_us)
