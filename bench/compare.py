"""Two versions of Bellhop side by side in one run: CPU of the processes and commands of Redis for each ring.

Each version has a web process, a worker and a Redis of its own. They take turns in short bursts, so that both meet the
same neighbours on the machine. The other version is a checkout of it, run with the virtual environment in its folder
.venv, or else with this one's:

    git worktree add /tmp/before COMMIT
    python -m bench.compare /tmp/before [--pairs 12] [--rings 300]

A figure is the median over all pairs. The ratio is the median of the pairs' ratios, this version to the other; the
number behind ± is its standard error.
"""

import argparse
import asyncio
import contextlib
import itertools
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from bellhop.sandbox.installation import Arrival, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bench.machine import calibrate, noise, told
from bench.whole import PEOPLE, ROOT, person, register_people, tree

RATE, PATIENCE_S = 200, 30
POSTS_AT_ONCE = 32
SUSPENDED_S = 2.2
"""Until every pop that was under way has ended."""
Figures = Mapping[str, float]


class Version(Installation):
    """One version's processes; the stand-ins are this version's."""

    def __init__(self, checkout: Path, folder: Path, missed_grace_s: int = 300) -> None:
        self.arrived: dict[str, float] = {}
        self.people = itertools.count()
        super().__init__(folder, {"MISSED_GRACE_S": str(missed_grace_s)}, on_arrival=self._note)
        self.checkout, self.python = checkout, python_of(checkout)
        self.apple.keep = False

    def environment(self) -> dict[str, str]:
        # Without PYTHONSAFEPATH, `python -m` would take the code of the current folder, for both versions.
        return super().environment() | {"PYTHONPATH": str(self.checkout), "PYTHONSAFEPATH": "1"}

    def _note(self, arrival: Arrival) -> None:
        self.arrived.setdefault(arrival.cid.partition(":")[2], arrival.at)

    async def know_people(self) -> None:
        """Store everybody's phone."""
        await register_people(self)

    async def paced(self, label: str, rings: int) -> Figures:
        """Ring at RATE a second."""
        names = [f"{label}-{number}" for number in range(rings)]
        async with self.measured(rings) as figures:
            start, posts, due = time.time() + 0.1, [], {}
            for number, name in enumerate(names):
                due[name] = start + number / RATE
                await asyncio.sleep(due[name] - time.time())
                posts.append(asyncio.create_task(self._post(name)))
            await asyncio.gather(*posts)
            await self._all_arrived(names)
        latencies = sorted(self.arrived[name] - due[name] for name in names)
        for share in (50, 99):
            figures[f"latency p{share}, ms"] = latencies[len(latencies) * share // 100] * 1e3
        return figures

    async def backlog(self, label: str, rings: int) -> Figures:
        """Queue all rings while no worker takes them, then let it run at full load. The web process counts too."""
        names = [f"{label}-{number}" for number in range(rings)]
        await self.suspend()
        room = asyncio.Semaphore(POSTS_AT_ONCE)

        async def post(name: str) -> None:
            async with room:
                await self._post(name)

        async with self.measured(rings) as figures:
            await asyncio.gather(*map(post, names))
            await self.resume()
            await self._all_arrived(names)
        arrived = [self.arrived[name] for name in names]
        figures["rings a second"] = rings / (max(arrived) - min(arrived))  # the worker notices late that it may run
        return figures

    async def suspend(self) -> None:
        """Let the worker take no more jobs."""
        await self.store.call("SET", "rq:suspended", 1)
        await asyncio.sleep(SUSPENDED_S)

    async def resume(self) -> None:
        await self.store.call("DEL", "rq:suspended")

    async def _post(self, name: str) -> None:
        number = next(self.people) % PEOPLE  # nobody calls or is called so often that it is counted in Redis
        call = SampleCall(caller=f"caller-{number}", members=(person(number)[0],), id=name)
        reply = await self.stream.post(call.ring())
        if reply.status != 200:
            raise RuntimeError(f"{self.checkout}: a webhook was answered {reply.status}")

    async def _all_arrived(self, names: Sequence[str]) -> None:
        give_up = time.time() + PATIENCE_S
        while missing := sum(name not in self.arrived for name in names):
            if time.time() > give_up:
                raise RuntimeError(f"{self.checkout}: {missing} rings are missing")
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)  # the jobs end behind their pushes

    @contextlib.asynccontextmanager
    async def measured(self, rings: int) -> AsyncIterator[dict[str, float]]:
        """Yield figures for each of so many rings, or calls; they are there after the block."""
        pids = {name: process.pid for name, process in self.processes.items()}
        pids["redis"] = self.redis.pid
        before, cpu_before = await self._counters(), {name: cpu_ms(pid) for name, pid in pids.items()}
        figures: dict[str, float] = {}
        yield figures
        for name, pid in pids.items():
            figures[f"CPU of {name.partition('-')[0]}, ms"] = (cpu_ms(pid) - cpu_before[name]) / rings
        figures["CPU of all three, ms"] = sum(figures.values())
        for name, count in (await self._counters()).items():
            figures[name] = (count - before[name]) / rings

    async def _counters(self) -> Figures:
        commands = await self.store.client.info("commandstats")
        sums = await self.store.client.info("stats")
        return {
            "Redis commands": sum(each["calls"] for each in commands.values()),
            "bytes into Redis": sums["total_net_input_bytes"],
            "reads of a socket by Redis": sums["total_reads_processed"],
        }


def python_of(checkout: Path) -> str:
    """Return the interpreter of a checkout's own virtual environment; without one, this one's."""
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def cpu_ms(pid: int) -> float:
    """CPU of all living threads of a process and its children, from the scheduler's own count (in ns)."""
    used_ns = 0
    for process in tree(pid):
        for file in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                used_ns += int(file.read_text().split()[0])
    return used_ns / 1e6


def ring_inside(checkout: Path, rings: int) -> Figures:
    """Run bench.ring of a checkout: the CPU of a ring inside the worker, without Redis and provider."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [python_of(checkout), "-m", "bench.ring", str(rings)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    hot, cold = re.findall(r"([\d.]+) in the median", done.stdout)
    return {"ring inside, back to back, µs": float(hot), "ring inside, with pauses, µs": float(cold)}


def show(title: str, pairs: Sequence[tuple[Figures, Figures]]) -> None:
    """Print a table of one kind of burst."""
    print(f"\n{title}, {len(pairs)} pairs\n{'':38}{'other':>10}{'this':>10}{'ratio':>8}")
    for name in pairs[0][0]:
        others, ours = [other[name] for other, _ in pairs], [our[name] for _, our in pairs]
        ratios = sorted(our / other for other, our in zip(others, ours, strict=True) if other)
        if not ratios:
            continue
        middle_half = ratios[3 * len(ratios) // 4] - ratios[len(ratios) // 4]
        error = 1.25 * middle_half / 1.35 / math.sqrt(len(ratios))
        medians = f"{statistics.median(others):10.3f}{statistics.median(ours):10.3f}"
        print(f"  {name:36}{medians}{statistics.median(ratios):8.3f} ± {error:.3f}")


async def take_turns(other: Version, ours: Version, pairs: int, rings: int) -> None:
    """Warm both up, let them ring in turn, and print a table of each kind of burst."""
    for version in (other, ours):
        await version.know_people()
        await version.paced("warm-up", rings)
    whole: dict[str, list[tuple[Figures, Figures]]] = {"paced": [], "backlog": []}
    for number in range(pairs):
        order = (other, ours) if number % 2 else (ours, other)
        for kind, done in whole.items():
            found = {version: await getattr(version, kind)(f"{kind}-{number}", rings) for version in order}
            done.append((found[other], found[ours]))
    show(f"At {RATE} rings a second", whole["paced"])
    show("A backlog at full load", whole["backlog"])


async def main(other: Path, pairs: int, rings: int) -> None:
    print(told())
    seen = calibrate()
    inside = []
    for number in range(pairs):
        order = (other, ROOT) if number % 2 else (ROOT, other)
        found = {checkout: ring_inside(checkout, rings) for checkout in order}
        inside.append((found[other], found[ROOT]))
    show("A ring inside the worker", inside)
    async with contextlib.AsyncExitStack() as stack:
        versions = {}
        for checkout in (other, ROOT):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            versions[checkout] = await stack.enter_async_context(Version(checkout, folder))
        await take_turns(versions[other], versions[ROOT], pairs, rings)
    print(f"\n{noise(seen + calibrate())}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("other", type=Path, help="a checkout of the version to compare with")
    arguments.add_argument("--pairs", type=int, default=12)
    arguments.add_argument("--rings", type=int, default=300)
    given = arguments.parse_args()
    asyncio.run(main(given.other.resolve(), given.pairs, given.rings))
