"""What things cost in Redis as they grow: python -m bench.growth [row ...] [--largest N]

Each row of the table is measured with growing sizes, on a Redis of its own. Commands are those that Redis counts
(commandstats), those inside scripts included. The slope is the exponent of the commands between the last two sizes: 0
is flat, 1 is linear. Of the scripts it shows how long 95 % of them took at most, and the longest, by Redis's slow log:
on a busy machine the longest one was interrupted.

A row is a coroutine function in ROWS that measures one size; add rows there. docs/scaling.md has the results.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bellhop.clock import Seconds
from bellhop.queue.names import NOTICES
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.async_client import Store
from bellhop.store.keys import AGENDA, WORKERS, inflight_key, rq_job_key, rq_queue_key, rq_registry_key
from bench.busy_calls import BusyCall, busy_call
from worker.queue.dead_workers import remove_worker
from worker.queue.maintenance import enqueue_scheduled
from worker.settle import queue_due_calls

IDLE_S = 10
IN_ONE_PACKET = 1000
LONG_AGO = "2026-01-01T00:00:00.000000Z"


class Cost(NamedTuple):
    """What one size costs."""

    commands: float
    script_ms: float
    """How long 95 % of the scripts took at most."""
    longest_ms: float


Row = Callable[[int], Awaitable[Cost]]


async def idle_workers(workers: int) -> Cost:
    """Redis commands a second of workers without jobs: real processes, with two apps and e-mail."""
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), {"LOG_LEVEL": "error"}, workers=workers) as house:
            house.stop("web")
            await asyncio.sleep(5)  # connections, the first registration
            return await measured(house.store, lambda: asyncio.sleep(IDLE_S), per=IDLE_S)


async def settle_jobs_that_wait(jobs: int) -> Cost:
    """One step of the watchdog, for 100 calls whose settle jobs have waited for long behind so many jobs."""
    async with own_store() as store:
        await call_in_packets(store, [("ZADD", AGENDA, 1, f"default:default:call-{n}") for n in range(100)])
        await queue_due_calls(store)
        queued = await store.call("LRANGE", rq_queue_key(NOTICES), 0, -1)
        await call_in_packets(store, [("HSET", b"rq:job:" + job, "enqueued_at", LONG_AGO) for job in queued])
        ids = [f"waits-{n}" for n in range(jobs)]
        await call_in_packets(store, [("HSET", rq_job_key(job), "enqueued_at", LONG_AGO) for job in ids])
        await call_in_packets(store, [("LPUSH", rq_queue_key(NOTICES), job) for job in ids])
        await store.call("ZUNIONSTORE", AGENDA, 1, AGENDA, "WEIGHTS", 0)
        return await measured(store, lambda: queue_due_calls(store))


async def calls_due_at_once(calls: int) -> Cost:
    """Commands for each call that is due, while a worker takes all that is queued."""
    async with own_store() as store:
        await call_in_packets(store, [("ZADD", AGENDA, 1, f"default:default:call-{n}") for n in range(calls)])

        async def take_all() -> None:
            while True:
                await store.call("DEL", rq_queue_key(NOTICES))
                await asyncio.sleep(0.005)

        async def queue_all() -> None:
            taking = asyncio.create_task(take_all())
            while await store.call("ZCOUNT", AGENDA, "-inf", 1):
                await queue_due_calls(store)
            taking.cancel()

        return await measured(store, queue_all, per=calls)


async def scheduled_at_once(jobs: int) -> Cost:
    """Commands for each scheduled job that is due."""
    async with own_store() as store:
        ids = [f"job-{n}" for n in range(jobs)]
        await call_in_packets(store, [("HSET", rq_job_key(job), "status", "scheduled") for job in ids])
        await call_in_packets(store, [("ZADD", rq_registry_key("scheduled", "rings"), 1, job) for job in ids])
        return await measured(store, lambda: enqueue_scheduled(store, ["rings"]), per=jobs)


async def jobs_of_a_dead_worker(jobs: int) -> Cost:
    """Commands for each job that a dead worker had in flight."""
    async with own_store() as store:
        ids = [f"job-{n}" for n in range(jobs)]
        fields = ("status", "started", "worker_name", "dead", "started_at", LONG_AGO)
        await call_in_packets(store, [("HSET", rq_job_key(job), *fields) for job in ids])
        await call_in_packets(store, [("RPUSH", inflight_key("rings", "dead"), job) for job in ids])
        await store.call("SADD", WORKERS, "dead")
        return await measured(store, lambda: remove_worker(store, "dead", ["rings"], died=True), per=jobs)


async def members_who_accept(members: int) -> Cost:
    """Commands of a whole call whose members accept one after the other."""
    async with own_call(members) as busy:
        return await measured(busy.store, lambda: busy.answer_one_by_one(SampleCall.accepted))


async def members_who_reject(members: int) -> Cost:
    """Commands of a whole call whose members reject one after the other. Each rejection settles the call."""
    async with own_call(members) as busy:
        return await measured(busy.store, lambda: busy.answer_one_by_one(SampleCall.rejected))


async def members_who_miss(members: int) -> Cost:
    """Commands of settling a call that all of its members have missed."""
    async with own_call(members) as busy:
        busy.post(busy.call.ring(at=Seconds(time.time() - 60)))
        return await measured(busy.store, busy.settle)


async def next_rejection(rounds: int) -> Cost:
    """A rejection of the last ring, in a call that has rung so often in one session."""
    async with own_call() as busy:
        await busy.ring_again_and_again(rounds - 1)
        busy.post(busy.call.ring())

        async def reject() -> None:
            busy.post(busy.call.rejected("ben"))
            await busy.settle()

        return await measured(busy.store, reject)


async def next_missed(rounds: int) -> Cost:
    """A call.missed about the last ring, in a call that has rung so often in one session."""
    async with own_call() as busy:
        await busy.ring_again_and_again(rounds)

        async def miss() -> None:
            busy.post(busy.call.missed("jane"))

        return await measured(busy.store, miss)


ROWS: Mapping[str, tuple[Row, Sequence[int]]] = {
    "idle_workers": (idle_workers, (1, 2, 4, 8)),
    "settle_jobs_that_wait": (settle_jobs_that_wait, (10, 1_000, 100_000)),
    "calls_due_at_once": (calls_due_at_once, (100, 1_000, 10_000, 100_000)),
    "scheduled_at_once": (scheduled_at_once, (100, 1_000, 10_000, 100_000)),
    "jobs_of_a_dead_worker": (jobs_of_a_dead_worker, (1, 100, 1_000, 2_500, 10_000)),
    "members_who_accept": (members_who_accept, (1, 10, 100, 1_000)),
    "members_who_reject": (members_who_reject, (1, 10, 100, 1_000)),
    "members_who_miss": (members_who_miss, (1, 10, 100, 1_000)),
    "next_rejection": (next_rejection, (1, 10, 100, 1_000, 5_000)),
    "next_missed": (next_missed, (1, 10, 100, 1_000, 5_000)),
}


@asynccontextmanager
async def own_call(members: int = 2) -> AsyncIterator[BusyCall]:
    """Make a call in an empty Redis."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        store = Store.from_url(server.url)
        with busy_call(store, server.url, members) as busy:
            yield busy
        await store.close()


@asynccontextmanager
async def own_store() -> AsyncIterator[Store]:
    """Connect to an empty Redis."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        store = Store.from_url(server.url)
        yield store
        await store.close()


async def call_in_packets(store: Store, commands: Sequence[tuple[str | bytes | int, ...]]) -> None:
    """Run many commands."""
    for first in range(0, len(commands), IN_ONE_PACKET):
        await store.together(*commands[first : first + IN_ONE_PACKET])


async def measured(store: Store, work: Callable[[], Awaitable[None]], per: float = 1) -> Cost:
    """Count the commands of some work, and find its longest script."""
    await store.load_scripts()
    await store.call("CONFIG", "SET", "slowlog-log-slower-than", "100")
    await store.call("CONFIG", "SET", "slowlog-max-len", "100000")
    await store.call("CONFIG", "RESETSTAT")
    await store.call("SLOWLOG", "RESET")
    await work()
    stats = (await store.call("INFO", "commandstats")).decode().splitlines()
    commands = sum(int(line.partition("calls=")[2].partition(",")[0]) for line in stats if "calls=" in line)
    slow = await store.call("SLOWLOG", "GET", "-1")
    times_us = sorted(entry[2] for entry in slow if entry[3][0] in {b"EVALSHA", b"EVAL"}) or [0]
    return Cost(commands / per, times_us[len(times_us) * 95 // 100] / 1000, times_us[-1] / 1000)


async def print_row(name: str, largest: int) -> None:
    """Measure one row with all of its sizes."""
    measure, sizes = ROWS[name]
    print(f"\n{name}: {(measure.__doc__ or '').strip()}")
    print(f"{'size':>10} {'commands':>10} {'script ms':>10} {'longest':>10} {'s':>6}")
    points = []
    for size in sizes:
        if size <= largest:
            began = time.monotonic()
            cost = await measure(size)
            points.append((size, cost.commands))
            times = f"{cost.script_ms:>10.1f} {cost.longest_ms:>10.1f} {time.monotonic() - began:>6.1f}"
            print(f"{size:>10} {cost.commands:>10.1f} {times}", flush=True)
    if len(points) > 1:
        (size_1, commands_1), (size_2, commands_2) = points[-2:]
        print(f"{'slope':>10} {math.log(commands_2 / commands_1) / math.log(size_2 / size_1):>10.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--largest", type=int, default=10**6, help="the largest size")
    options = parser.parse_args()
    for name in options.rows or ROWS:
        asyncio.run(print_row(name, options.largest))


if __name__ == "__main__":
    main()
