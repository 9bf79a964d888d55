"""The first ring after a start, and after idle minutes, beside warm ones: from the webhook to the push's arrival.

python -m bench.cold [--starts 20] [--idle-minutes 0]
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bellhop.domain.device import Provider
from bellhop.sandbox.installation import Arrival, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bench.machine import calibrate, noise, told
from bench.whole import person, register_people

WARM, WARM_RATE = 40, 20
PATIENCE_S = 10
PEOPLE = 100


class Rings:
    """Rings one phone at a time, and knows when each push arrived."""

    installation: Installation

    def __init__(self) -> None:
        self.arrived: dict[str, asyncio.Future[float]] = {}
        self.count = 0

    def note(self, arrival: Arrival) -> None:
        done = self.arrived[arrival.cid.partition(":")[2]]
        if not done.done():
            done.set_result(time.perf_counter())

    async def ring_ms(self) -> float:
        """Ring once; returns the milliseconds until the push arrived."""
        name, member = f"cold-{self.count}", person(self.count % PEOPLE)[0]
        self.count += 1
        self.arrived[name] = asyncio.get_running_loop().create_future()
        call, began = SampleCall(caller=f"caller-{self.count}", members=(member,), id=name), time.perf_counter()
        await self.installation.stream.post(call.ring())
        return ((await asyncio.wait_for(self.arrived[name], PATIENCE_S)) - began) * 1e3

    async def warm_ms(self) -> float:
        """Ring often; returns the median of the second half."""
        times = []
        for _ in range(WARM):
            times.append(await self.ring_ms())
            await asyncio.sleep(1 / WARM_RATE)
        return statistics.median(times[WARM // 2 :])


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Rings]:
    """Start an installation, which has not rung before."""
    rings = Rings()
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), {"MISSED_GRACE_S": "300"}, on_arrival=rings.note) as rings.installation:
            await register_people(rings.installation, PEOPLE)
            yield rings


async def main(starts: int, idle_minutes: float) -> None:
    print(told())
    seen = calibrate()
    first: dict[Provider, list[float]] = {}
    warm: list[float] = []
    for number in range(starts):
        async with started() as rings:
            rings.count = number % 2  # iPhones and Android phones take turns, from start to start too
            first.setdefault(person(number)[1], []).append(await rings.ring_ms())
            warm.append(await rings.warm_ms())
    every = list(itertools.chain.from_iterable(first.values()))
    print(f"The first ring after each of {starts} starts, in the median, and of {WARM} later ones at {WARM_RATE}/s")
    for provider, times in first.items():
        print(f"  {provider:10}{statistics.median(times):6.1f} ms, slowest {max(times):.1f} ms")
    ratio = statistics.median(every) / statistics.median(warm)
    print(f"  both      {statistics.median(every):6.1f} ms; warm {statistics.median(warm):.1f} ms: {ratio:.1f} times")
    if idle_minutes:
        async with started() as rings:
            warm_ms = await rings.warm_ms()
            await asyncio.sleep(idle_minutes * 60)
            after = await rings.ring_ms()
        print(f"After {idle_minutes:g} idle minutes: {after:.1f} ms; warm {warm_ms:.1f}: {after / warm_ms:.1f} times")
    print(noise(seen + calibrate()))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--starts", type=int, default=20)
    arguments.add_argument("--idle-minutes", type=float, default=0)
    given = arguments.parse_args()
    asyncio.run(main(given.starts, given.idle_minutes))
