"""Workers on a real Redis Cluster: the jobs of all partitions run, also those of a killed worker."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from bellhop.cli import main
from bellhop.clock import Seconds
from bellhop.sandbox.child_process import end_with_parent
from bellhop.store.async_client import Store
from bellhop.store.homes import Partition, partitions, slot_of
from bellhop.store.keys import rq_job_key, rq_queue_key, tenant_queue_key, turns_key
from tests.redis_cluster import RedisCluster
from tests.worker.queue.conftest import RUNNER, eventually
from worker.queue.queue_worker import QueueWorker

PARTITIONS = partitions(16)
QUEUES = {"rings": 200, "notices": 200, "mail": 10, "events": 10}
StartWorker = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(cluster: RedisCluster, redis_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Start a worker on the cluster, whose jobs leave their marks in a single Redis."""
    started: list[subprocess.Popen[bytes]] = []
    for node in cluster.nodes:
        node.ask("FLUSHALL")  # what the test before has left

    def start() -> "subprocess.Popen[bytes]":
        options = json.dumps({"marks_url": redis_url})
        command = [sys.executable, str(RUNNER), cluster.url, json.dumps(QUEUES), "10", options]
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent))  # noqa: PLW1509
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    print((tmp_path / "worker.log").read_text())


@pytest.fixture
async def store(cluster: RedisCluster) -> AsyncIterator[Store]:
    store = Store.from_url(cluster.url)
    yield store
    await store.close()


async def queue_in_each_partition(store: Store, what: str, seconds: float = 0, *, bells: bool) -> set[str]:
    """Queue a job in each partition, with a bell or without; returns their labels."""
    labels = {f"{what}-{number}": partition for number, partition in enumerate(PARTITIONS)}
    for label, partition in labels.items():
        data = json.dumps(["jobs.sleep", None, [{"label": label, "seconds": seconds}], {}])
        job = ("HSET", rq_job_key(label), "status", "queued", "origin", "rings", "data", data, "timeout", 600)
        await store.at(partition).together(job, ("RPUSH", rq_queue_key("rings"), label))
        if bells:
            await store.ring_bell("rings", partition)
    return set(labels)


def keys_of(cluster: RedisCluster, pattern: str) -> list[str]:
    return [key for node in cluster.here() for key in node.ask("KEYS", pattern)]


def began(client: redis.Redis) -> Counter[str]:
    return Counter(label.decode() for label in client.lrange("test:began", 0, -1))


async def test_the_jobs_of_all_partitions_run_once(
    cluster: RedisCluster, store: Store, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    worker = start_worker()
    labels = await queue_in_each_partition(store, "found", bells=False)
    eventually(lambda: began(redis_client).keys() == labels, "the renewals of the leases find them")
    labels |= await queue_in_each_partition(store, "rung", bells=True)
    eventually(lambda: began(redis_client).keys() == labels, "the bells wake the worker")
    assert set(began(redis_client).values()) == {1}
    eventually(lambda: keys_of(cluster, "*:inflight:*") == [], "their ends are recorded")
    at, first = time.monotonic(), cluster.commands()
    await asyncio.sleep(2)
    counts, seconds = cluster.commands() - first, time.monotonic() - at
    assert (counts["evalsha"] + counts["bzpopmin"] + counts["zadd"]) / seconds < 40
    assert counts["smembers"] <= counts["evalsha"] + 2 * seconds, "it looks for neighbours in one partition"
    cluster.move_slots([slot_of(PARTITIONS[0].tag)], to=cluster.node_of(slot_of(PARTITIONS[-1].tag)))
    labels |= await queue_in_each_partition(store, "moved", bells=True)
    eventually(lambda: began(redis_client).keys() == labels, "the worker follows the partition to its new node")
    assert set(began(redis_client).values()) == {1}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert keys_of(cluster, "*:worker:*") == [], "it has left each partition"


async def test_a_killed_workers_jobs_run_again_in_all_partitions(
    store: Store, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    killed = start_worker()
    labels = await queue_in_each_partition(store, "held", 600, bells=True)
    eventually(lambda: began(redis_client).keys() == labels, "the first worker begins them")
    start_worker()
    killed.kill()
    eventually(lambda: set(began(redis_client).values()) == {2}, "the second worker begins them")


async def test_a_tenant_with_jobs_in_all_partitions_leaves_places(cluster: RedisCluster, store: Store) -> None:
    running: set[str] = set()

    async def run(payload: dict[str, str]) -> None:
        running.add(payload["label"])
        await asyncio.sleep(600)

    async def put(label: str, tenant: str, partition: Partition) -> None:
        data = json.dumps(["jobs.sleep", None, [{"label": label}], {}])
        fields = {"status": "queued", "origin": "rings", "data": data, "timeout": 600, "tenant": tenant}
        job = ("HSET", rq_job_key(label), *(part for pair in fields.items() for part in pair))
        waits = ("RPUSH", tenant_queue_key("rings", tenant), label), ("ZADD", turns_key("rings"), "NX", 1, tenant)
        await store.at(partition).together(job, *waits)
        await store.ring_bell("rings", partition)

    for node in cluster.nodes:
        node.ask("FLUSHALL")  # what the test before has left
    for number, partition in enumerate(PARTITIONS):
        await put(f"loud-{number}", "loud", partition)
    worker = QueueWorker(
        cluster.url, {"rings": 6}, {"jobs.sleep": run}, grace_s=Seconds(0.1), wind_up_s=Seconds(1.0), in_turn=True
    )
    working = asyncio.create_task(worker.run())
    while len(running) < 4:
        await asyncio.sleep(0.05)
    await put("quiet", "quiet", PARTITIONS[5])
    while "quiet" not in running:
        await asyncio.sleep(0.05)
    assert len(running) == 5, "a tenant alone has four fifths of the places"
    worker.stop()
    worker.stop()
    await working


async def test_rq_suspends_a_worker_in_one_partition(
    cluster: RedisCluster, store: Store, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    def rq(command: str) -> str:
        return CliRunner(env={"BELLHOP_REDIS_URL": cluster.url}).invoke(main, ["rq", *command.split()]).output

    rq("--partition 3 suspend")
    worker = start_worker()
    eventually(lambda: "suspended" in rq("--partition 3 info --only-workers --raw"), "the worker sees it")
    eventually(lambda: " idle " in rq("--partition 4 info --only-workers --raw"), "of the others, it takes jobs")
    labels = await queue_in_each_partition(store, "suspended", bells=True)
    eventually(lambda: began(redis_client).keys() == labels - {"suspended-3"}, "only those of partition 3 wait")
    assert "queue rings 1, 0 executing" in rq("--partition 3 info --only-queues --raw")
    rq("--partition 3 resume")
    eventually(lambda: began(redis_client).keys() == labels, "the last one runs")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
