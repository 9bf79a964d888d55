"""The web process alone: webhooks a second over 64 connections, and CPU for each, beside other versions and Node.

Each has a Redis of its own. They take turns in short bursts, so that all meet the same neighbours on the machine. The
Node peer (bench/node_peer: Express and BullMQ, no call state, no trail) is installed from npm.

    python -m bench.intake [--against CHECKOUT]... [--no-node] [--turns 5] [--burst 4000]
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import redis

from bellhop.event_loop import loop_factory
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall, as_posted
from bellhop.stream_hooks import signed_headers
from bench.compare import cpu_ms, python_of
from bench.machine import calibrate, noise, told
from bench.whole import ROOT

CONNECTIONS, RATE, WARM_UP = 64, 200, 1_000
API_KEY, SECRET = "key", "a-secret-of-no-real-app"
START_S = 60


# The load generator, a process of its own.


class Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last one is here."""

    def __init__(self, load: "Load") -> None:
        self.load, self.answer = load, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.free(self)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if found and len(body) >= length:
            self.load.refused += not self.answer.startswith(b"HTTP/1.1 200")
            self.load.answered += 1
            self.answer = b""
            self.load.free(self)


class Load:
    """The requests to send, as soon as a connection is free and, with a rate, it is their turn."""

    def __init__(self, requests: list[bytes], rate: float) -> None:
        self.waiting, self.idle, self.rate = deque(requests), deque[Client](), rate
        self.total, self.answered, self.refused = len(requests), 0, 0
        self.done = asyncio.Event()

    def free(self, client: Client) -> None:
        self.idle.append(client)
        if not self.rate:
            self.send()
        if self.answered == self.total:
            self.done.set()

    def send(self) -> None:
        if self.waiting and self.idle:
            self.idle.popleft().transport.write(self.waiting.popleft())  # type: ignore[attr-defined]

    async def keep_pace(self) -> None:
        began = time.monotonic()
        for number in range(self.total):
            await asyncio.sleep(began + number / self.rate - time.monotonic())
            while not self.idle:  # every connection waits for its answer
                await asyncio.sleep(0.001)
            self.send()


def request(label: str, number: int) -> bytes:
    call = SampleCall(caller=f"caller-{label}-{number}", members=(f"user-{number % 1000}",), id=f"{label}-{number}")
    body = as_posted(call.ring())
    headers = {"Host": "127.0.0.1", "Content-Length": len(body)} | signed_headers(body, API_KEY, SECRET, call.id)
    lines = ["POST /webhooks/stream HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def generate(port: int, label: str, rate: float, count: int) -> None:
    """Send `count` rings; prints the seconds that it took."""
    load = Load([request(label, number) for number in range(count)], rate)
    loop, began = asyncio.get_running_loop(), time.monotonic()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
    if rate:
        await load.keep_pace()
    await load.done.wait()
    if load.refused:
        raise SystemExit(f"{load.refused} of {count} were refused")
    print(time.monotonic() - began)


# What it measures.


class Peer:
    """One web process, with a Redis of its own."""

    def __init__(self, name: str, command: list[str], folder: Path, checkout: Path) -> None:
        folder.mkdir()
        self.name, self.port = name, free_port()
        self.redis = RedisServer(folder, "--appendfsync", "everysec")
        self._command, self._checkout = command, checkout

    @contextlib.contextmanager
    def running(self) -> Iterator["Peer"]:
        with self.redis:
            ours = {
                "BELLHOP_REDIS_URL": self.redis.url,
                "BELLHOP_STREAM_API_KEY": API_KEY,
                "BELLHOP_STREAM_API_SECRET": SECRET,
                "BELLHOP_WEB_PORT": str(self.port),
                "REDIS_URL": self.redis.url,
                "STREAM_SECRET": SECRET,
                "PORT": str(self.port),
                "PYTHONPATH": str(self._checkout),
                "NODE_ENV": "production",
            }
            self.process = subprocess.Popen(
                self._command, cwd=self._checkout, env=os.environ | ours,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                self.burst("warm-up", 0, WARM_UP)
                yield self
            finally:
                self.process.terminate()
                self.process.wait()

    def burst(self, label: str, rate: float, count: int) -> dict[str, float]:
        """Send a burst; returns the rate, and CPU of the web process and of Redis in µs for each webhook."""
        with redis.Redis.from_url(self.redis.url) as client:
            client.flushdb()
        before = cpu_ms(self.process.pid), cpu_ms(self.redis.pid)
        command = [sys.executable, "-m", "bench.intake", "--generate", str(self.port), label, str(rate), str(count)]
        give_up = time.monotonic() + START_S
        while True:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            if label != "warm-up" or time.monotonic() > give_up:
                raise RuntimeError(f"{self.name}: {done.stderr}")
            time.sleep(0.2)
        after = cpu_ms(self.process.pid), cpu_ms(self.redis.pid)
        web, store = ((now - then) / count * 1e3 for then, now in zip(before, after, strict=True))
        return {"webhooks/s": count / float(done.stdout), "web CPU, µs": web, "Redis CPU, µs": store}


def node_peer() -> list[str]:
    """Install the Node peer, if needed; returns its command."""
    folder = ROOT / "bench" / "node_peer"
    if not (folder / "node_modules").is_dir():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return ["node", str(folder / "web.js")]


def main(others: list[Path], turns: int, burst: int, *, node: bool) -> None:
    print(told())
    seen = calibrate()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkouts = {"this version": ROOT} | {str(other): other for other in others}
        peers = [
            Peer(name, [python_of(checkout), "-m", "bellhop", "web"], folder / str(number), checkout)
            for number, (name, checkout) in enumerate(checkouts.items())
        ]
        if node:
            peers.append(Peer("Node: Express, BullMQ", node_peer(), folder / "node", ROOT))
        for peer in peers:
            stack.enter_context(peer.running())
        for title, rate, count in ((f"{CONNECTIONS} connections", 0, burst), (f"{RATE}/s", RATE, burst // 4)):
            found: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
            for turn in range(turns):
                for peer in peers if turn % 2 else reversed(peers):
                    found[peer.name].append(peer.burst(f"{rate}-{turn}", rate, count))
            print(f"\n{title}, {turns} turns: the median, and its ratio to the first line's")
            ours = found[peers[0].name]
            for name, bursts in found.items():
                cells = []
                for figure in bursts[0]:
                    median = statistics.median(each[figure] for each in bursts)
                    ratio = median / statistics.median(each[figure] for each in ours)
                    cells.append(f"{figure} {median:8,.0f} ({ratio:.2f})")
                print(f"  {name:24}{'   '.join(cells)}")
    print(f"\n{noise(seen + calibrate())}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--against", type=Path, action="append", default=[], help="a checkout of another version")
    arguments.add_argument("--no-node", action="store_true")
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--burst", type=int, default=4_000)
    arguments.add_argument("--generate", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.generate:
        port, label, rate, count = given.generate
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(generate(int(port), label, float(rate), int(count)))
    else:
        main([path.resolve() for path in given.against], given.turns, given.burst, node=not given.no_node)
