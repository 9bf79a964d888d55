"""What a whole call costs in processor time, all of its webhooks and pushes: python -m bench.calls [calls]

As bench/memory.py: two people are rung, one answers, the other lets it ring out and is told. Real web,
worker and Redis processes; as many calls at a time as keep them busy. docs/scaling.md counts with these figures.

With `--against CHECKOUT`, another version takes turns with this one, as in bench/compare.py:

    python -m bench.calls 100 --against /tmp/before [--pairs 12]
"""

import argparse
import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.stream_webhooks import SampleCall
from bench.compare import Figures, Version, show
from bench.machine import calibrate, noise, told
from bench.whole import ROOT

CALLS, WARM_UP = 1_000, 20
AT_ONCE = 8
WEBHOOKS, RINGS, PUSHES = 6, 2, 3
PATIENCE_S = 30


async def main(calls: int, other: Path | None, pairs: int) -> None:
    print(told())
    seen, numbers = calibrate(), itertools.count()
    async with contextlib.AsyncExitStack() as stack:
        versions = []
        for checkout in filter(None, (ROOT, other)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            versions.append(await stack.enter_async_context(Version(checkout, folder, missed_grace_s=0)))
        for version in versions:  # connections and caches
            await burst(version, [next(numbers) for _ in range(WARM_UP)])
        done: list[list[Figures]] = [[] for _ in versions]
        sides = list(zip(versions, done, strict=True))
        for turn in range(pairs if other else 1):
            for version, figures in sides if turn % 2 else reversed(sides):
                figures.append(await burst(version, [next(numbers) for _ in range(calls)]))
    if other:
        show(f"A whole call, {calls} in a burst", list(zip(done[1], done[0], strict=True)))
    else:
        print(f"{calls} calls, {WEBHOOKS} webhooks and {PUSHES} pushes each; for each call:")
        for name, figure in done[0][0].items():
            print(f"  {name:36}{figure:10.2f}")
    print(f"\n{noise(seen + calibrate())}")


async def burst(version: Version, numbers: list[int]) -> Figures:
    """Run these calls, AT_ONCE at a time, until their last notices have arrived."""
    for number in numbers:  # each call has its own people, so nobody is rung too often
        await version.register(f"ben-{number}", Provider.APNS, Kind.VOIP, f"{number:064x}", "Ben's iPhone")
        await version.register(f"jane-{number}", Provider.FCM, Kind.ALERT, f"jane-{number}", "Jane's Pixel")
    version.arrivals.clear()
    left = iter(numbers)
    async with version.measured(len(numbers)) as figures:
        await asyncio.gather(*(one_after_another(version, left) for _ in range(AT_ONCE)))
        give_up = time.monotonic() + PATIENCE_S
        while len(version.arrivals) < PUSHES * len(numbers):
            if time.monotonic() > give_up:
                raise RuntimeError(f"{version.checkout}: {len(version.arrivals)} pushes of {len(numbers)} calls")
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)  # the jobs end behind their pushes
    return figures


async def one_after_another(version: Version, numbers: Iterator[int]) -> None:
    for number in numbers:
        await one_call(version, number)


async def one_call(version: Version, number: int) -> None:
    ben, jane = f"ben-{number}", f"jane-{number}"
    call = SampleCall(f"sara-{number}", (ben, jane), ring_ms=60_000)
    for event in (
        call.ring(),
        call.accepted(ben),
        call.rejected(jane, "timeout"),
        call.missed(jane),
        call.session_ended(),
        call.ended(),
    ):
        await version.stream.post(event)
        if event["type"] == "call.ring":
            while sum(one.cid == call.cid for one in version.arrivals[-50:]) < RINGS:
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("calls", type=int, nargs="?", default=CALLS)
    arguments.add_argument("--against", type=Path, help="a checkout of another version")
    arguments.add_argument("--pairs", type=int, default=12)
    given = arguments.parse_args()
    asyncio.run(main(given.calls, given.against and given.against.resolve(), given.pairs))
