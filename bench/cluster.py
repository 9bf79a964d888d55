"""Rings on Redis Clusters of several sizes, beside a single Redis: latency, and each server's share of the work.

    python -m bench.cluster [--rate 100] [--seconds 20] [--turns 2]

The servers of a size take turns, so that what the machine does beside them touches all of them. A server's share is of
the processor time of all servers of Redis. With N masters, the goal is at most 1.25/N for the busiest.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bellhop.sandbox.installation import Installation
from bench.machine import calibrate, noise, told
from bench.whole import Load, cpu_s, percentiles, register_people
from tests.redis_cluster import RedisCluster

SIZES = (0, 1, 2, 3, 4)
"""How many masters; 0: a single Redis that is no cluster."""
PEOPLE = 1_000
IDLE_S = 5.0


@dataclass
class Figures:
    """What was measured for one size, over all turns."""

    times_s: list[float] = field(default_factory=list)
    """From the moment at which a ring was due to the push's arrival."""
    ms_of_servers: list[list[float]] = field(default_factory=list)
    """Processor ms a ring of each server, turn by turn."""
    web_ms: list[float] = field(default_factory=list)
    worker_ms: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    """Commands a second of an idle worker."""


async def measure(masters: int, rate: float, seconds: float, turn: int, figures: Figures) -> None:
    """Start an installation, let it ring, and add what it took."""
    load, count = Load(), int(rate * seconds)
    with tempfile.TemporaryDirectory() as name:
        here = Installation(Path(name), {"MISSED_GRACE_S": "300"}, on_arrival=load.arrival)
        if masters:
            here.redis = RedisCluster(Path(name) / "cluster", masters)  # type: ignore[assignment]
        async with here:
            here.apple.keep = False
            await register_people(here, PEOPLE)
            await load.run(here.url, f"warm{turn}", 50, 100)
            servers = (
                [node.server for node in here.redis.nodes] if isinstance(here.redis, RedisCluster) else [here.redis]
            )
            pids = [here.processes["web"].pid, here.processes["worker-1"].pid, *(server.pid for server in servers)]
            before_s = [cpu_s(pid) for pid in pids]
            figures.times_s += await load.run(here.url, f"ring{turn}", rate, count)
            web, worker, *of_servers = [(cpu_s(pid) - s) / count * 1e3 for pid, s in zip(pids, before_s, strict=True)]
            figures.web_ms.append(web)
            figures.worker_ms.append(worker)
            figures.ms_of_servers.append(of_servers)
            here.stop("web")
            await asyncio.sleep(1.0)
            figures.idle.append(sum(await asyncio.gather(*(sent_in(IDLE_S, one.port) for one in servers))) / IDLE_S)


async def sent_in(seconds: float, port: int) -> int:
    """Count the commands that clients send to a server; those that scripts run do not count."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    writer.write(b"MONITOR\r\n")
    await asyncio.sleep(seconds)
    writer.close()
    reader.feed_eof()
    return sum(b" lua] " not in line for line in (await reader.read()).splitlines()[1:])


def report(masters: int, figures: Figures, single: Figures) -> None:
    """Print what was measured."""
    of_servers = [statistics.median(ms) for ms in zip(*figures.ms_of_servers, strict=True)]
    share = max(of_servers) / sum(of_servers)
    p50 = statistics.median(figures.times_s) / statistics.median(single.times_s)
    name = f"{masters} masters" if masters else "single Redis"
    print(f"{name}: {percentiles(figures.times_s)}, p50 {p50:.2f} of single")
    cpu = f"web {statistics.median(figures.web_ms):.2f}, worker {statistics.median(figures.worker_ms):.2f}"
    print(
        f"  CPU ms a ring: {cpu}, Redis {sum(of_servers):.2f}, idle: {statistics.median(figures.idle):.0f} commands/s"
    )
    if masters:
        goal = 1.25 / masters
        print(f"  busiest server: {share:.3f} of Redis's processor time (1.25/N is {goal:.3f})")


async def main(rate: float, seconds: float, turns: int, sizes: Sequence[int]) -> None:
    """Measure all sizes in turn."""
    figures: dict[int, Figures] = defaultdict(Figures)
    print(told())
    seen = calibrate()
    for turn in range(turns):
        for masters in sizes:
            await measure(masters, rate, seconds, turn, figures[masters])
            seen += calibrate()
    for masters in sizes:
        report(masters, figures[masters], figures[sizes[0]])
    print(noise(seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    asyncio.run(main(options.rate, options.seconds, options.turns, options.sizes))
