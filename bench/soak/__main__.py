"""The soak: python -m bench.soak [--minutes 30] [--rate 100] [--only "worker killed"] [--codes]

Two web processes and two workers ring phones at a fixed rate, with a fault every two seconds: one kind of fault in each
part. Then what the phones got is compared with what Bellhop tells of each ring. Exit status 1 if a ring was lost, has
no outcome, or is told wrongly, or if a phone rang twice without a word about it, or after the call's end.

With --codes, the providers answer every error to one push in a thousand, then to one in a hundred.
"""

import argparse
import asyncio
import sys
import time
from typing import Any

from bench.machine import calibrate, noise, told
from bench.soak.faults import CALM, KINDS
from bench.soak.part import PartResult, Plan, run
from bench.soak.report import counted, failures, table, to_look_at
from bench.soak.shares import Shares

TRIES = 3


async def faults(options: Any) -> int:
    """Run a part for each kind of fault; returns the number of failures."""
    kinds = options.only or list(KINDS)
    results = []
    for kind in kinds:
        seconds = options.minutes * 60 / len(kinds)
        plan = Plan(kind, (kind,), options.rate, seconds, options.ring_ms, options.seed)
        results.append(await started(plan))
        show(results[-1])
        if kind == CALM and failures(results[-1]):
            print(f"This machine cannot ring {options.rate:.0f} phones a second now: the other parts say nothing.")
    print(table(results))
    return sum(map(failures, results))


async def started(plan: Plan) -> PartResult:
    """Run a part, again if its processes did not start: on a busy machine another program may take a port."""
    for _ in range(TRIES - 1):
        try:
            return await run(plan)
        except RuntimeError as error:
            print(f"{plan.name} is tried again: {error}", flush=True)
    return await run(plan)


async def codes(options: Any) -> int:
    """Run one part with every error of the providers; returns the number of failures."""
    shares, seconds = Shares(), options.minutes * 60
    ends = {"accept": 1}
    plan = Plan("errors", (), options.rate, seconds, options.ring_ms, options.seed, ends, earliest_s=12, latest_s=20)
    result = await run(plan, shares.drive)
    show(result)
    print(table([result]), shares.table(result), *shares.summary(result), sep="\n\n")
    return failures(result)


def show(result: PartResult) -> None:
    """Print what to look at."""
    words = ", ".join(f"{word} {count}" for word, count in sorted(counted(result).items()))
    print(f"{time.strftime('%H:%M:%S')} {result.plan.name}: {failures(result)} failures; {words}", flush=True)
    for text in to_look_at(result):
        print(text, flush=True)


async def main(options: Any) -> int:
    """Run the soak; returns the exit status."""
    print(told(), noise(calibrate()), sep="; ", flush=True)
    failed = await (codes if options.codes else faults)(options)
    print(noise(calibrate()))
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--ring-ms", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(KINDS))
    parser.add_argument("--codes", action="store_true")
    sys.exit(asyncio.run(main(parser.parse_args())))
