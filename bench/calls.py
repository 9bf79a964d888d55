"""What a whole call costs in processor time, all of its webhooks and pushes: python -m bench.calls [calls]

As bench/memory.py: two people are rung, one answers, the other lets it ring out and is told. Real web,
worker and Redis processes; as many calls at a time as keep them busy. docs/scaling.md counts with these figures.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bench.whole import cpu_s

CALLS = 1_000
AT_ONCE = 8
WEBHOOKS, RINGS = 6, 2


async def main(calls: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), {"MISSED_GRACE_S": "0"}) as house:
            for number in range(calls + AT_ONCE):  # each call has its own people, so nobody is rung too often
                await house.register(f"ben-{number}", Provider.APNS, Kind.VOIP, f"{number:064x}", "Ben's iPhone")
                await house.register(f"jane-{number}", Provider.FCM, Kind.ALERT, f"jane-{number}", "Jane's Pixel")
            numbers = iter(range(calls + AT_ONCE))
            await asyncio.gather(*(one_call(house, next(numbers)) for _ in range(AT_ONCE)))  # connections and caches
            pids = {
                "web": house.processes["web"].pid,
                "worker": house.processes["worker-1"].pid,
                "Redis": house.redis.pid,
            }
            await house.store.call("CONFIG", "RESETSTAT")
            before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
            arrived = len(house.arrivals)
            await asyncio.gather(*(one_after_another(house, numbers) for _ in range(AT_ONCE)))
            took = time.monotonic() - began
            await asyncio.sleep(2)  # the last notices
            used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
            pushes = len(house.arrivals) - arrived
            stats = await house.store.client.info("commandstats")
            commands = sum(each["calls"] for each in stats.values())
    print(f"{calls} calls in {took:.0f} s: {WEBHOOKS} webhooks and {pushes / calls:.2f} pushes each")
    print(f"{commands / calls:.0f} Redis commands a call, those inside scripts and those of waiting workers included")
    for name, seconds in used.items():
        print(f"{name:8}{seconds / calls * 1000:6.2f} ms of processor time a call")


async def one_after_another(house: Installation, numbers: Iterator[int]) -> None:
    for number in numbers:
        await one_call(house, number)


async def one_call(house: Installation, number: int) -> None:
    ben, jane = f"ben-{number}", f"jane-{number}"
    call = SampleCall(f"sara-{number}", (ben, jane), ring_ms=5_000)
    for event in (
        call.ring(),
        call.accepted(ben),
        call.rejected(jane, "timeout"),
        call.missed(jane),
        call.session_ended(),
        call.ended(),
    ):
        await house.stream.post(event)
        if event["type"] == "call.ring":
            while sum(one.cid == call.cid for one in house.arrivals[-50:]) < RINGS:
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
