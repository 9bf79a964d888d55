"""The memory of one web process and one worker during a million rings: python -m bench.long_run [--rings 1000000]

Every call rings one person, whose phone accepts as soon as the push has arrived. Calls come as fast as the machine
takes them. The stand-ins and the load are in this process. A million rings need 45 minutes on two cores, and about
4 GB of memory for Redis. Exit status 1 if a push did not arrive.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bellhop.sandbox.installation import Arrival, Installation
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bench.machine import told
from bench.whole import PEOPLE, memory_kb, person, register_people

AT_ONCE = 32
"""How many calls ring at the same time."""
TENTHS = 10
"""The memory at the end is compared with the memory after a tenth of the rings."""
PATIENCE_S = 60


class AcceptingHouse(Installation):
    """An installation whose phones accept each ring. It keeps no push."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.apple.keep = self.google.keep = False
        self.ringing: dict[str, asyncio.Future[None]] = {}
        """By call id: done when the push has arrived."""

    def arrive(self, arrival: Arrival) -> None:
        arrived = self.ringing.get(arrival.cid.partition(":")[2])
        if arrived is not None and not arrived.done():
            arrived.set_result(None)

    async def ring(self, number: int) -> bool:
        """Ring a person, wait for the push, and accept. Returns whether the push arrived."""
        user_id = person(number)[0]
        call = SampleCall(caller=f"caller-{number % PEOPLE}", members=(user_id,), id=f"call-{number}")
        arrived = self.ringing[call.id] = asyncio.get_running_loop().create_future()
        await self.post(call.ring())
        done, _ = await asyncio.wait([arrived], timeout=PATIENCE_S)
        del self.ringing[call.id]
        await self.post(call.accepted(user_id))
        return bool(done)

    async def post(self, event: Event) -> None:
        """Post an event as Stream does: again until it is answered 200. A machine that is too busy answers late."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if (await self.stream.post(event)).status == 200:
                    return
            await asyncio.sleep(1)

    def memory_mb(self) -> tuple[float, float]:
        """Memory (RSS) of the web process and of the worker, each with its children, in MB of 2^20 bytes."""
        web, worker = (memory_kb(self.processes[name].pid) / 1024 for name in ("web", "worker-1"))
        return web, worker


async def main(rings: int) -> int:
    """Ring; returns how many pushes did not arrive."""
    print(told())
    numbers, missing = iter(range(rings)), 0
    tenths: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with AcceptingHouse(Path(folder)) as house:
            await register_people(house)
            print(f"\n{'rings':>9}{'minutes':>9}{'web, MB':>9}{'worker, MB':>12}")
            began = time.monotonic()

            async def ring_one_after_the_other() -> None:
                nonlocal missing
                for number in numbers:
                    missing += not await house.ring(number)
                    if (number + 1) % (rings // TENTHS) == 0:
                        tenths.append(house.memory_mb())
                        web, worker = tenths[-1]
                        minutes = (time.monotonic() - began) / 60
                        print(f"{number + 1:9}{minutes:9.1f}{web:9.1f}{worker:12.1f}", flush=True)

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(ring_one_after_the_other())
    web, worker = (last / first for first, last in zip(tenths[0], tenths[-1], strict=True))
    print(f"the end, divided by the first tenth: web {web:.3f}, worker {worker:.3f}; {missing} pushes did not arrive")
    return missing


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rings", type=int, default=1_000_000)
    sys.exit(1 if asyncio.run(main(arguments.parse_args().rings)) else 0)
