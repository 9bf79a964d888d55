"""What a job costs, and how soon it begins: Bellhop's worker beside RQ's own, on the same machine and Redis.

python bench/runtime.py [--memory-s 120]
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PACE_S = 0.02
RQ_WORKER = [str(Path(sys.executable).parent / "rq"), "worker", "--quiet", "--path", str(ROOT), "rings"]
RQ_WORKER += ["--serializer", "rq.serializers.JSONSerializer", "--worker-class"]
WORKERS = {
    "bellhop": ([sys.executable, __file__, "--serve"], 20_000),
    "rq SimpleWorker": ([*RQ_WORKER, "rq.worker.SimpleWorker", "--url"], 1_000),
    "rq Worker": ([*RQ_WORKER, "rq.worker.Worker", "--url"], 150),
}
"""Each with as many jobs as take it some seconds."""

sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def job(payload: dict[str, Any]) -> None:
    """Do nothing but tell how long ago the job was queued."""
    sender.sendto(repr(time.time() - payload["at"]).encode(), ("127.0.0.1", payload["port"]))


async def handle(payload: dict[str, Any]) -> None:
    job(payload)


class Bench:
    def __init__(self, url: str) -> None:
        self.url, self.redis = url, redis.Redis.from_url(url)
        self.queue = Queue("rings", connection=self.redis, serializer=JSONSerializer)
        self.reports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.reports.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.reports.bind(("127.0.0.1", 0))
        self.reports.settimeout(30)

    def enqueue(self, jobs: int) -> None:
        payload = {"at": time.time(), "port": self.reports.getsockname()[1]}
        prepared = [
            Queue.prepare_data("bench.runtime.job", (payload,), description="bench", result_ttl=60) for _ in range(jobs)
        ]
        self.queue.enqueue_many(prepared)

    def began(self, jobs: int) -> list[float]:
        return [float(self.reports.recv(64)) for _ in range(jobs)]

    @contextlib.contextmanager
    def worker(self, command: list[str]) -> Iterator[int]:
        process = subprocess.Popen([*command, self.url], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()

    def counters(self, pid: int) -> dict[str, float]:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        stats = self.redis.info("commandstats")
        return {
            "cpu_s": sum(map(int, fields[11:15])) / TICKS,  # its own and its ended children's
            "commands": sum(stat["calls"] for stat in stats.values()),
            "round_trips": self.redis.info("stats")["total_reads_processed"],
            "at": time.perf_counter(),
        }

    def measure(self, name: str, command: list[str], jobs: int) -> None:
        self.redis.flushall()
        self.enqueue(jobs)
        with self.worker(command) as pid:
            self.began(jobs // 10)
            before = self.counters(pid)
            self.began(jobs - jobs // 10)
            after = self.counters(pid)
            cost = {what: (after[what] - before[what]) / (jobs - jobs // 10) for what in before}
            time.sleep(1)
            latencies = []
            for _ in range(200):
                self.enqueue(1)
                latencies += self.began(1)
                time.sleep(PACE_S)
        p50, p99 = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
        print(
            f"{name:16} {cost['cpu_s'] * 1e3:8.2f} {1 / cost['at']:8.0f} {cost['commands']:9.1f}"
            f" {cost['round_trips']:12.1f} {p50 * 1e3:10.2f} {p99 * 1e3:6.2f}"
        )

    def memory(self, command: list[str], seconds: float) -> None:
        self.redis.flushall()
        done, samples = 0, []
        with self.worker(command) as pid:
            give_up = time.monotonic() + seconds
            while time.monotonic() < give_up:
                self.enqueue(1_000)
                self.began(1_000)
                done += 1_000
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                samples.append((done, pages * os.sysconf("SC_PAGE_SIZE") / 1024))
        settled = samples[len(samples) // 3 :]
        slope, _ = statistics.linear_regression(*zip(*settled, strict=True))
        print(f"memory: {done} jobs, {settled[-1][1] / 1024:.1f} MB at the end, {slope * 1000:+.2f} kB per 1000 jobs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", metavar="URL")
    parser.add_argument("--memory-s", type=float, default=120)
    options = parser.parse_args()
    # Not at the top: RQ's Worker imports this module anew for every job, and is to be charged for the job alone.
    from bellhop.sandbox.redis_server import RedisServer  # noqa: PLC0415
    from worker.queue.queue_worker import QueueWorker  # noqa: PLC0415

    if options.serve:
        QueueWorker(options.serve, {"rings": 256}, {"bench.runtime.job": handle}).work()
        return
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), "--appendfsync", "everysec") as server:
        bench = Bench(server.url)
        print("                  CPU ms/job   jobs/s  commands  round trips  start p50    p99 ms")
        for name, (command, jobs) in WORKERS.items():
            bench.measure(name, command, jobs)
        bench.memory(WORKERS["bellhop"][0], options.memory_s)


if __name__ == "__main__":
    main()
