"""From Stream's webhook to the push's arrival: how long it takes, and what it costs, at a fixed rate.

Real processes for the web, the worker and Redis; the stand-ins for Apple and Google in this process; the load generator
in one of its own, open-loop: it posts by the clock, however slow the answers are, and a ring's time counts from the
moment at which it was due. The obvious alternative (bench/alternative/) runs after it, at 70 % of what it can take.

    python -m bench.whole [--rate 200] [--seconds 30] [--no-alternative]
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from bellhop.clock import Seconds
from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.installation import API_KEY, BUNDLE, PROJECT, SECRET, Arrival, Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall, as_posted
from bellhop.stream_hooks import signed_headers
from bench.machine import calibrate, noise

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = 5000
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
LEAD_S = 1.0
"""From the generator's being ready to its first post."""
BACKLOG, BACKLOG_RATE, BACKLOGS = 2_500, 350, 4
SUSPENDED_S = 1.5
"""Until every pop that was under way has ended."""


def person(number: int) -> tuple[str, Provider, str]:
    number %= PEOPLE
    provider = Provider.FCM if number % 2 else Provider.APNS
    return f"user-{number}", provider, f"{number:064x}" if provider is Provider.APNS else f"phone:{number}"


async def register_people(here: Installation, people: int = PEOPLE) -> None:
    """Register the phone of each person with Bellhop."""
    for number in range(people):
        user_id, provider, token = person(number)
        await here.register(user_id, provider, Kind.VOIP, token)


def stored_devices() -> dict[str, str]:
    """Return each person's phone as the other workers read it from Redis, by key."""
    people = map(person, range(PEOPLE))
    return {f"devices:{user}": json.dumps([{"provider": provider, "token": token}]) for user, provider, token in people}


# The load generator.


async def generate(url: str, label: str, rate: float, count: int) -> None:
    """Post `count` rings; prints the unix time of the first one's turn, then how many were not answered 200."""
    start = time.time() + LEAD_S + count / 2000
    posts = []
    for n in range(count):
        call = SampleCall(caller=f"caller-{n % PEOPLE}", members=(person(n)[0],), id=f"{label}-{n}")
        body = as_posted(call.ring(at=Seconds(start + n / rate)))
        posts.append((body, signed_headers(body, API_KEY, SECRET, call.id)))
    print(start, flush=True)
    refused = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def post(body: bytes, headers: Mapping[str, str]) -> None:
            nonlocal refused
            async with session.post(f"{url}/webhooks/stream", data=body, headers=headers) as response:
                await response.read()
                refused += response.status != 200

        tasks = []
        for n, one in enumerate(posts):
            await asyncio.sleep(start + n / rate - time.time())
            tasks.append(asyncio.create_task(post(*one)))
        await asyncio.gather(*tasks)
    print(refused, flush=True)


class Load:
    """Runs the generator and knows when each ring was due and when it arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}

    def arrival(self, arrival: Arrival) -> None:
        self.arrived.setdefault(arrival.cid.partition(":")[2], arrival.at)

    async def run(self, url: str, label: str, rate: float, count: int, patience_s: float = 60) -> list[float]:
        """Post, wait for the arrivals; seconds from due to arrival, for each."""
        command = [sys.executable, "-m", "bench.whole", "--generate", url, label, str(rate), str(count)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        start = float(await process.stdout.readline())
        refused = int(await process.stdout.readline())
        await process.wait()
        give_up = time.time() + patience_s
        names = [f"{label}-{n}" for n in range(count)]
        while any(name not in self.arrived for name in names) and time.time() < give_up:
            await asyncio.sleep(0.1)
        missing = sum(name not in self.arrived for name in names)
        if refused or missing:
            print(f"  {refused} webhooks refused, {missing} rings missing")
        return [self.arrived[name] - start - n / rate for n, name in enumerate(names) if name in self.arrived]


# What it costs.


def tree(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, its children and those of them that have ended."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += sum(map(int, Path(f"/proc/{one}/stat").read_text().rsplit(") ", 1)[1].split()[11:15]))
    return total / TICKS


def memory_kb(pid: int) -> float:
    """Memory (RSS) of a process and its children, in KB of 2^10 bytes."""
    pages = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * PAGE / 1024


def percentiles(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    p50, p90, p99 = (cuts[n - 1] * 1e3 for n in (50, 90, 99))
    return f"p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms, max {max(seconds) * 1e3:.1f} ms"


async def measured(
    load: Load, pids: Mapping[str, int], url: str, label: str, rate: float, count: int
) -> tuple[list[float], dict[str, float]]:
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    times = await load.run(url, label, rate, count)
    return times, {name: (cpu_s(pid) - before[name]) / count * 1e3 for name, pid in pids.items()}


def report(name: str, rate: float, times: Sequence[float], cpu_ms: Mapping[str, float]) -> None:
    print(f"{name} at {rate:.1f} rings/s, webhook to arrival: {percentiles(times)}")
    costs = ", ".join(f"{part} {ms * 10:.1f}" for part, ms in cpu_ms.items())
    print(f"  CPU seconds per 10,000 rings: {costs}; together {sum(cpu_ms.values()) * 10:.1f}")


async def bellhop(folder: Path, load: Load, rate: float, seconds: float) -> float:
    """Measure Bellhop; returns CPU ms a ring."""
    async with Installation(folder, {"MISSED_GRACE_S": "300"}, on_arrival=load.arrival) as here:
        here.apple.keep = False
        await register_people(here)
        cold = await load.run(here.url, "cold", 10, 1)
        await load.run(here.url, "warm", 50, 100)
        print(f"Bellhop's first ring after the start took {cold[0] * 1e3:.1f} ms")
        pids = {"web": here.processes["web"].pid, "worker": here.processes["worker-1"].pid, "redis": here.redis.pid}
        count = int(rate * seconds)
        await here.store.call("CONFIG", "RESETSTAT")
        sampling = asyncio.create_task(sample_memory(pids["worker"], load))
        times, cpu_ms = await measured(load, pids, here.url, "ring", rate, count)
        sampling.cancel()
        commands = await here.store.client.info("commandstats")
        server = await here.store.client.info("stats")
        report("Bellhop", rate, times, cpu_ms)
        calls = sorted(((stat["calls"] / count, name[8:]) for name, stat in commands.items()), reverse=True)
        print(f"  Redis, per ring: {sum(n for n, _ in calls):.1f} commands, of these", end=" ")
        print(", ".join(f"{name} {n:.1f}" for n, name in calls if n >= 0.1), end="; ")
        print(f"{server['total_reads_processed'] / count:.1f} reads of a socket")
        print(f"  {slope(memory)}")
        await full_load(here, load, pids["worker"])
        return sum(cpu_ms.values())


async def full_load(here: Installation, load: Load, worker: int) -> None:
    """Let rings queue up while the worker is suspended, then measure what it takes for each while it never waits."""
    costs, rates = [], []
    for turn in range(BACKLOGS):
        await here.store.call("SET", "rq:suspended", 1)
        await asyncio.sleep(SUSPENDED_S)
        posting = asyncio.create_task(load.run(here.url, f"backlog{turn}", BACKLOG_RATE, BACKLOG))
        while await here.store.call("LLEN", "rq:queue:bellhop-rings") < BACKLOG and not posting.done():
            await asyncio.sleep(0.1)
        cpu, began = cpu_s(worker), time.time()
        await here.store.call("DEL", "rq:suspended")
        await posting
        costs.append((cpu_s(worker) - cpu) / BACKLOG * 1e3)
        arrived = [at for name, at in load.arrived.items() if name.startswith(f"backlog{turn}-")]
        rates.append(len(arrived) / (max(arrived) - began))
    print(f"  the worker at full load, {BACKLOGS} times {BACKLOG:,} rings that wait: CPU ms a ring", end=" ")
    print(f"{', '.join(f'{ms:.2f}' for ms in costs)}; rings/s {', '.join(f'{rate:.0f}' for rate in rates)}")


memory: list[tuple[int, float]] = []


async def sample_memory(pid: int, load: Load) -> None:
    while True:
        memory.append((len(load.arrived), memory_kb(pid)))
        await asyncio.sleep(0.5)


def slope(samples: Sequence[tuple[int, float]]) -> str:
    settled = samples[len(samples) // 2 :]
    kb, _ = statistics.linear_regression(*zip(*settled, strict=True))
    marks = ", ".join(f"{samples[(len(samples) - 1) * n // 4][1] / 1024:.1f}" for n in range(5))
    return (
        f"worker's memory, in quarters of the run: {marks} MB; in the second half {kb * 1e6:+.0f} bytes per 1,000 rings"
    )


async def alternative(folder: Path, load: Load, preloaded: bool, seconds: float) -> float:
    """Measure the alternative; returns CPU ms a ring."""
    async with Installation(folder, on_arrival=load.arrival) as stands:
        settings = stands.environment()
        with RedisServer(folder / "redis") as server:
            name = "RQ's worker, modules loaded before the fork" if preloaded else "`rq worker`"
            print(f"The alternative: Flask, {name}, aioapns, pyfcm")
            environment = os.environ | {
                "REDIS_URL": server.url,
                "STREAM_SECRET": SECRET,
                "PROJECT": PROJECT,
                "APNS_TOPIC": BUNDLE,
                "SERVICE_ACCOUNT": settings["BELLHOP_FCM_SERVICE_ACCOUNT_FILE"],
                "REQUESTS_CA_BUNDLE": settings["BELLHOP_APNS_CA_FILE"],
                "PYTHONPATH": str(ROOT),
                **{n: settings[f"BELLHOP_{n}"] for n in ("APNS_URL", "APNS_KEY_FILE", "APNS_KEY_ID", "APNS_TEAM_ID")},
                "FCM_URL": settings["BELLHOP_FCM_URL"],
            }
            port = free_port()
            rq = [str(Path(sys.executable).parent / "rq"), "worker", "--quiet", "--url", server.url, "rings"]
            web = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"]
            commands = {
                "web": [*web, "--bind", f"127.0.0.1:{port}", "bench.alternative.web:app"],
                "worker": [sys.executable, "-m", "bench.alternative.preloaded"] if preloaded else rq,
            }
            pids = {"redis": server.pid}
            started = []
            import redis  # noqa: PLC0415

            with redis.Redis.from_url(server.url) as client:
                client.mset(stored_devices())
            for part, command in commands.items():
                with (folder / f"alternative-{part}.log").open("ab") as log:
                    process = subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env=environment,
                        preexec_fn=end_with_parent,  # noqa: PLW1509
                        stdout=log,
                        stderr=log,
                    )
                started.append(process)
                pids[part] = process.pid
            try:
                await asyncio.sleep(4)
                url, label = f"http://127.0.0.1:{port}", f"alternative-{preloaded:d}"
                burst = await load.run(url, f"{label}-burst", 200, 30)
                capacity = 30 / max(burst)
                times, cpu_ms = await measured(load, pids, url, label, 0.7 * capacity, int(0.7 * capacity * seconds))
                report(f"  it can take {capacity:.1f} rings/s;", 0.7 * capacity, times, cpu_ms)
            finally:
                for process in started:
                    process.terminate()
                    await asyncio.to_thread(process.wait)
        return sum(cpu_ms.values())


async def main(options: Any) -> None:
    load, seen = Load(), calibrate()
    with tempfile.TemporaryDirectory() as folder:
        ours = await bellhop(Path(folder), load, options.rate, options.seconds)
    seen += calibrate()
    for preloaded in (True, False) if options.alternative else ():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "redis").mkdir()
            theirs = await alternative(Path(folder), load, preloaded, min(options.seconds, 20))
        print(f"  CPU of a ring, theirs to ours: {theirs / ours:.0f}")
        seen += calibrate()
    print(noise(seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--no-alternative", dest="alternative", action="store_false")
    parser.add_argument("--generate", nargs=4, metavar=("URL", "LABEL", "RATE", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.generate:
        url, label, rate, count = given.generate
        asyncio.run(generate(url, label, float(rate), int(count)))
    else:
        asyncio.run(main(given))
