"""A decline by a phone's ticket, while calls ring: how long it takes until it counts, and until Stream has it.

Real processes for the web, the worker and Redis; the stand-ins for Apple, Google and Stream in this process; the phones
that decline in another process. Every fifth ring is declined as soon as the phone has its push. The decline counts at
the fence before it is answered, so it takes effect no later than its answer.

    python -m bench.declines [--rate 200] [--seconds 20] [--every 5]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from bellhop.sandbox.installation import Arrival, Installation
from bench.machine import calibrate, noise
from bench.whole import ROOT, Load, measured, percentiles, register_people, report

SETTINGS = {"MISSED_GRACE_S": "300", "RECEIPT_SECRET": "signs-the-receipts"}
PATIENCE_S = 20


async def decline(url: str) -> None:
    """Decline with each receipt that comes on stdin, at once; prints the seconds that each answer took."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    took: list[float] = []
    statuses: list[int] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def post(receipt: str) -> None:
            began = time.perf_counter()
            document = {"receipt": receipt, "event": "declined"}
            async with session.post(f"{url}/v1/receipts", json=document) as response:
                await response.read()
                took.append(time.perf_counter() - began)
                statuses.append(response.status)

        posting = set()
        while line := await reader.readline():
            task = asyncio.create_task(post(line.decode().strip()))
            posting.add(task)
            task.add_done_callback(posting.discard)
        await asyncio.gather(*posting)
    print(json.dumps({"took": took, "refused": sum(status != 204 for status in statuses)}))


class Phones:
    """Hands the receipt of each push to the process that declines."""

    def __init__(self, load: Load, every: int) -> None:
        self.load, self.every, self.rung_at = load, every, dict[str, float]()
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, url: str) -> None:
        command = [sys.executable, "-m", "bench.declines", "--decline", url]
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 26
        )

    def arrival(self, arrival: Arrival) -> None:
        self.load.arrival(arrival)
        if self.process is None or self.process.stdin is None or int(arrival.cid.rpartition("-")[2]) % self.every:
            return
        self.rung_at.setdefault(arrival.cid, arrival.at)
        self.process.stdin.write(f"{arrival.ticket}\n".encode())

    async def end(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        answer, _ = await self.process.communicate()
        result: dict[str, Any] = json.loads(answer)
        return result


async def main(rate: float, seconds: float, every: int) -> None:
    load, seen = Load(), calibrate()
    phones = Phones(load, every)
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), SETTINGS, on_arrival=phones.arrival) as here:
            here.apple.keep = False
            await register_people(here)
            await load.run(here.url, "warm", 50, 100)
            await phones.start(here.url)
            pids = {"web": here.processes["web"].pid, "worker": here.processes["worker-1"].pid, "redis": here.redis.pid}
            times, cpu_ms = await measured(load, pids, here.url, "ring", rate, int(rate * seconds))
            result = await phones.end()
            give_up = time.monotonic() + PATIENCE_S
            while len(here.stream_api.rejects) < len(result["took"]) and time.monotonic() < give_up:
                await asyncio.sleep(0.1)
            told = [one.at - phones.rung_at[one.cid] for one in here.stream_api.rejects if one.cid in phones.rung_at]
    report(f"Rings, of which one in {every} is declined", rate, times, cpu_ms)
    print(f"  a decline, until it is answered: {percentiles(result['took'])}; {result['refused']} refused")
    print(f"  from the push's arrival to Stream's reject: {percentiles(told)}; {len(told)} of {len(result['took'])}")
    print(noise(seen + calibrate()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--decline", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(decline(given.decline) if given.decline else main(given.rate, given.seconds, given.every))
