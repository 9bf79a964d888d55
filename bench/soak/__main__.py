"""The soak: python -m bench.soak [--minutes 30] [--rate 100] [--only "worker killed"] [--codes]

Two web processes and two workers ring phones at a fixed rate, with a fault every two seconds: one kind of fault in each
part. Then what the phones got is compared with what Bellhop tells of each ring. Exit status 1 if a ring was lost, has
no outcome, or is told wrongly, or if a phone rang twice without a word about it, or after the call's end.
"""

import argparse
import asyncio
import sys
import time
from typing import Any

from bench.machine import told
from bench.soak.faults import KINDS
from bench.soak.part import Plan, run
from bench.soak.report import failures, table, to_look_at


async def main(options: Any) -> int:
    """Run the parts; returns the exit status."""
    print(told(), flush=True)
    kinds = options.only or list(KINDS)
    results = []
    for kind in kinds:
        seconds = options.minutes * 60 / len(kinds)
        result = await run(Plan(kind, (kind,), options.rate, seconds, options.ring_ms, options.seed))
        results.append(result)
        print(f"{time.strftime('%H:%M:%S')} {kind}: {failures(result)} failures", flush=True)
        for text in to_look_at(result):
            print(text, flush=True)
    print(table(results))
    return 1 if any(map(failures, results)) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--ring-ms", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(KINDS))
    sys.exit(asyncio.run(main(parser.parse_args())))
