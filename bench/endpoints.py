"""Rings beside an endpoint of the team's backend that is healthy, slow, silent or dead: from the webhook to the push.

For each kind a whole installation is started, and only one runs at a time. The kinds take turns. `off` sends no events.
The endpoint is another process.

    python -m bench.endpoints [--rate 100] [--seconds 10] [--rounds 5]
"""

import argparse
import asyncio
import base64
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bellhop.clock import Seconds
from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.event_receiver import EventReceiver, EventReply
from bellhop.sandbox.installation import Installation
from bench.machine import calibrate, noise, told
from bench.whole import ROOT, Load, cpu_s, percentiles, register_people

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
DELAY_S = {"off": None, "healthy": 0.0, "slow": 2.0, "silent": 3_600.0, "dead": None}
"""How long the endpoint takes to answer; None: nothing listens."""
PEOPLE = 1_000


def settings_of(kind: str, port: int) -> Mapping[str, str]:
    if kind == "off":
        return {}
    return {
        "EVENT_ENDPOINTS": json.dumps([{"name": "backend", "url": f"http://127.0.0.1:{port}/"}]),
        "EVENT_SECRETS": json.dumps({"backend": [SECRET]}),
        "EVENT_ALLOWED_NETWORKS": "127.0.0.1",
    }


@contextmanager
def endpoint(kind: str, port: int) -> Iterator[None]:
    """Run the endpoint in another process, unless nothing listens."""
    if DELAY_S[kind] is None:
        yield
        return
    command = [sys.executable, "-m", "bench.endpoints", "--receive", str(port), str(DELAY_S[kind])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=end_with_parent)  # noqa: PLW1509
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait()


async def receive(port: int, delay_s: float) -> None:
    async with EventReceiver([SECRET], port=port, on_event=lambda _: receiver.received.clear()) as receiver:
        receiver.reply = EventReply(delay_s=Seconds(delay_s))
        print("listening", flush=True)
        await asyncio.Event().wait()


async def measure(kind: str, label: str, rate: float, seconds: float) -> tuple[list[float], float]:
    """Return the time of each ring in seconds, and the worker's CPU ms a ring."""
    load, port = Load(), free_port()
    with tempfile.TemporaryDirectory() as folder, endpoint(kind, port):
        settings = {"MISSED_GRACE_S": "300", **settings_of(kind, port)}
        async with Installation(Path(folder), settings, on_arrival=load.arrival) as here:
            here.apple.keep = here.google.keep = False
            await register_people(here, PEOPLE)
            await load.run(here.url, f"{label}-warm", 50, 200)
            worker, count = here.processes["worker-1"].pid, int(rate * seconds)
            before = cpu_s(worker)
            times = await load.run(here.url, label, rate, count)
            return times, (cpu_s(worker) - before) / count * 1e3


def p99_ms(times: list[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[98] * 1e3


async def main(rate: float, seconds: float, rounds: int) -> None:
    print(told())
    seen, all_times = calibrate(), defaultdict[str, list[float]](list)
    p99s, cpu_ms = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    kinds = [*DELAY_S]
    for number in range(rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            times, cpu = await measure(kind, f"{kind}-{number}", rate, seconds)
            all_times[kind] += times
            p99s[kind].append(p99_ms(times))
            cpu_ms[kind].append(cpu)
            seen += calibrate(10)
    print(f"{rounds} rounds of {seconds:g} s at {rate:g} rings/s")
    for kind in kinds:
        to_healthy = statistics.median(ours / other for ours, other in zip(p99s[kind], p99s["healthy"], strict=True))
        print(
            f"{kind:8} {percentiles(all_times[kind])}; p99 to that of healthy, median of rounds: {to_healthy:.2f};",
            end="",
        )
        print(f" worker {statistics.median(cpu_ms[kind]):.2f} CPU ms a ring")
    print(noise(seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--receive", nargs=2, metavar=("PORT", "DELAY_S"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.receive:
        asyncio.run(receive(int(given.receive[0]), float(given.receive[1])))
    else:
        asyncio.run(main(given.rate, given.seconds, given.rounds))
