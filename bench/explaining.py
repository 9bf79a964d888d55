"""Processor time to explain a call with many users or rounds, as the web process does: python -m bench.explaining

It needs no Redis. The slope is the exponent from size 100 to 1,000: 1 is linear. A trail has at most LENGTH lines, so
the last size may be cut.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from bellhop.explain.explanation import explain
from bellhop.explain.summary import summarize_trail
from bellhop.trail import LENGTH, encode, read_trail
from tests.long_trails import answered_one_by_one, rung_again_and_again

CID = "default:1"
TRAILS = {
    "users who accept or reject one after the other": (answered_one_by_one, (10, 100, 1_000, 2_400)),
    "rounds of one call": (rung_again_and_again, (10, 100, 1_000, 3_000)),
}
USES: dict[str, Callable[[Sequence[str]], object]] = {
    "explain": lambda lines: explain(CID, read_trail(lines)),
    "GET /v1/calls": lambda lines: explain(CID, read_trail(lines)).as_json(),
    "a line of the list": lambda lines: summarize_trail(CID, read_trail(lines)),
}


def main() -> None:
    """Print the table."""
    for name, (trail_of, sizes) in TRAILS.items():
        print(f"\n{name}\n{'size':>10} {'lines':>7} " + " ".join(f"{use + ', ms':>22}" for use in USES))
        times = []
        for size in sizes:
            lines = [encode(milestone) for milestone in trail_of(size)][-LENGTH:]
            times.append([cpu_ms(partial(use, lines)) for use in USES.values()])
            print(f"{size:>10} {len(lines):>7} " + " ".join(f"{ms:>22.1f}" for ms in times[-1]), flush=True)
        longer = math.log(sizes[-2] / sizes[-3])
        slopes = [math.log(after / before) / longer for before, after in zip(times[-3], times[-2], strict=True)]
        print(f"{'slope':>10} {'':>7} " + " ".join(f"{slope:>22.2f}" for slope in slopes))


def cpu_ms(function: Callable[[], object]) -> float:
    """Return the shortest of three processor times, in milliseconds."""
    times = []
    for _ in range(3):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times) * 1000


if __name__ == "__main__":
    main()
