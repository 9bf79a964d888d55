"""Everything that docs/performance.md and docs/scaling.md count with, in one run of 20 minutes: python -m bench

Each part runs by itself too, such as `python -m bench.whole --rate 200`. Between the parts a fixed loop is timed: where
it swings, the figures beside it do.
"""

import subprocess
import sys
from pathlib import Path

from bench.machine import calibrate, noise, told

PARTS = {
    "whole": "From the webhook to the push's arrival, and what it costs, beside the obvious alternative",
    "intake": "The web process alone, beside a Node peer",
    "beside_node": "Whole rings beside a Node peer: processor time, latency and rate",
    "cold": "The first ring after a start",
    "ring": "A ring inside the worker, without Redis and provider",
    "pushes": "The payload of a push, without and with a team's own texts",
    "runtime": "RQ's bookkeeping: Bellhop's worker beside RQ's own, and its memory",
    "apns": "Pushes to Apple, beside plain aioapns",
    "fcm": "Pushes to Google, beside pyfcm",
    "declines": "A phone's decline while calls ring, until it counts and until Stream has it",
    "web_push": "Pushes to browsers, beside those to Google, and pywebpush if it is installed",
    "notices": "A ring while many notices wait for the same provider",
    "calls": "Whole calls: processor time",
    "memory": "Whole calls: memory in Redis",
    "explaining": "Explaining a call with many users or rounds: processor time of the web process",
    "streams": "Open live streams: memory, threads and processor time of the web process",
    "endpoints": "Rings beside an endpoint of the team's backend that is healthy, slow, silent or dead",
    "metrics": "Counting, logging and tracing",
}


def main() -> int:
    """Run every part; returns how many failed."""
    print(told())
    failed, seen = 0, calibrate()
    for part, title in PARTS.items():
        print(f"\n== bench.{part}: {title}\n   before: {noise(seen[-40:])}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{part}"], check=False, cwd=Path(__file__).parents[1])
        failed += done.returncode != 0
        seen += calibrate()
    print(f"\nThe whole run: {noise(seen)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
