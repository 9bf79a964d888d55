"""What a call leaves in Redis, and what a million calls a day need: python bench/memory.py

A whole Bellhop takes in two hundred calls of one kind: two people are rung, one answers, the other lets it ring out. It
prints what the keys of one call weigh, by what they are for and how long they stay.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bellhop.clock import Seconds
from bellhop.domain.call import CALL_TTL_S
from bellhop.domain.device import Kind, Provider
from bellhop.queue.names import RESULT_TTL_S
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.call_scripts import WEBHOOK_TTL_S

CALLS = 200
A_DAY = 1_000_000
KINDS = {
    "bellhop:call:": ("the call's stamps", CALL_TTL_S),
    "bellhop:round:": ("its round", CALL_TTL_S),
    "bellhop:webhook:": ("webhook ids taken in", WEBHOOK_TTL_S),
    "rq:job:": ("finished jobs", RESULT_TTL_S),
    "bellhop:trail:": ("each day of the trail", 24 * 3600),
}


async def main(calls: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), {"MISSED_GRACE_S": "0"}) as house:
            await house.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone")
            await house.register("ben-osei", Provider.APNS, Kind.ALERT, "a2" * 32, "Ben's iPhone")
            await house.register("jane-morel", Provider.FCM, Kind.ALERT, "jane-token", "Jane's Pixel")
            await one_call(house)  # what is only made once is there now
            before = await used(house)
            for _ in range(calls):
                await one_call(house)
            after = await used(house)
            sizes, counts = await weigh(house)
    print(f"{calls} calls: two rung, one answers, one is told of a missed call; 6 webhooks each\n")
    print(f"{'':24}{'keys':>6}{'bytes':>8}{'kept':>9}{'a million calls a day':>24}")
    total = 0.0
    for prefix, (name, ttl_s) in KINDS.items():
        size = sizes[prefix] / (calls + 1)
        gib = size * A_DAY * ttl_s / 86_400 / 2**30
        total += gib
        print(f"{name:24}{counts[prefix] / (calls + 1):6.1f}{size:8.0f}{ttl_s / 3600:7.1f} h{gib:20.2f} GiB")
    print(f"{'':24}{'':6}{'':8}{'':9}{total:20.2f} GiB")
    print(f"\nRedis's own count: {(after - before) / calls:.0f} bytes for each call while all of its keys live")


async def one_call(house: Installation) -> None:
    call = SampleCall(ring_ms=5_000)
    began = Seconds(time.time() - 4)  # Jane's phone rings for a second more
    events = [
        call.ring(at=began),
        call.accepted("ben-osei"),
        call.rejected("jane-morel", "timeout"),
        call.missed("jane-morel"),
        call.session_ended(),
        call.ended(),
    ]
    for event in events:
        await house.stream.post(event)
        while await house.store.client.keys("bellhop:inflight:*"):  # the ring before the answer
            await asyncio.sleep(0.002)


async def used(house: Installation) -> int:
    await asyncio.sleep(0.5)
    return int((await house.store.client.info("memory"))["used_memory"])


async def weigh(house: Installation) -> tuple[Counter[str], Counter[str]]:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    async for key in house.store.client.scan_iter(count=1000):
        prefix = next((one for one in KINDS if key.decode().startswith(one)), "")
        sizes[prefix] += await house.store.client.memory_usage(key, samples=0) or 0
        counts[prefix] += 1
    return sizes, counts


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
