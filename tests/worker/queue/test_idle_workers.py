"""What workers without jobs ask of Redis, counted in commands, those that scripts run included."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis

from bellhop.queue.names import FAILURE_TTL_S
from bellhop.store.async_client import Store
from bellhop.store.keys import AGENDA, WORKERS, inflight_key, lease_key, neighbours_turn_key, rq_worker_key
from bellhop.store.queue_scripts import Due
from tests.worker.queue.conftest import PATIENT, QueueClient
from worker.queue.concurrency_limit import limits_of
from worker.queue.dead_workers import Neighbours, reap_workers
from worker.queue.isolation import Isolation
from worker.queue.job_store import JobStore
from worker.queue.lease import Lease
from worker.queue.lease_times import LeaseTimes
from worker.queue.maintenance import Maintenance
from worker.queue.pid_namespace import pid_namespace
from worker.queue.running_jobs import Handler, RunningJobs
from worker.queue.worker_setup import QueueNames

QUEUES = ["rings", "notices", "mail"]
A_SECOND = {"renewals": 2.0, "takes": 2.0}
"""How often a worker of three queues does these without jobs: a renewal every 0.5 s, takes that wait 1.5 s."""

MakeLease = Callable[..., Lease]


@pytest.fixture
async def make_lease(redis_url: str) -> AsyncIterator[MakeLease]:
    made = []

    def make(name: str, times: LeaseTimes = PATIENT) -> Lease:
        made.append(
            Lease(
                Store.from_url(redis_url, timeout_s=20.0),
                name,
                QueueNames(QUEUES),
                lambda: {"state": "idle", "pid": os.getpid(), "queues": "rings"},
                times,
            )
        )
        return made[-1]

    yield make
    for lease in made:
        await lease.store.close()


async def commands(client: redis.Redis, work: Callable[[], Awaitable[object]]) -> int:
    """How many commands Redis ran meanwhile, those inside scripts included."""
    client.config_resetstat()
    await work()
    return sum(stats["calls"] for name, stats in client.info("commandstats").items() if "config" not in name)


def running_jobs(job_store: JobStore, handlers: dict[str, Handler]) -> RunningJobs:
    return RunningJobs(job_store, limits_of(dict.fromkeys(QUEUES, 1)), Isolation(), handlers.get)


def others(client: redis.Redis, count: int) -> None:
    """Workers of other processes on this machine that live."""
    for number in range(count):
        client.sadd(WORKERS, f"other-{number}")
        client.set(lease_key(f"other-{number}"), 1)
        process = {"place": pid_namespace(), "pid": os.getpid(), "queues": "rings"}
        client.hset(rq_worker_key(f"other-{number}"), mapping=process)


@pytest.mark.parametrize("count", [1, 1000])
async def test_an_idle_worker_runs_few_commands(redis_client: redis.Redis, make_lease: MakeLease, count: int) -> None:
    others(redis_client, count)
    await make_lease("with the turn").renew()
    lease = make_lease("mine")
    jobs = JobStore(lease.store, "mine")
    maintenance = Maintenance(lease, running_jobs(jobs, {}), QUEUES)
    await maintenance.once()  # it registers
    await lease.store.load_scripts()
    renewal = await commands(redis_client, maintenance.once)
    take = await commands(redis_client, lambda: jobs.take_jobs(lease.store, "rings", 4, 0.01))
    assert not lease.has_turn
    assert (renewal, take) == (6, 3)
    assert renewal * A_SECOND["renewals"] + take * A_SECOND["takes"] < 20


async def test_the_turn_costs_few_commands_if_nothing_is_due(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    lease = make_lease("mine")
    await lease.renew()
    await lease.store.load_scripts()
    redis_client.set("bellhop:workers:calm_since", 1)  # so that it looks for the dead
    redis_client.delete("bellhop:workers:turn", neighbours_turn_key(pid_namespace()))
    assert await commands(redis_client, lease.renew) <= 12
    assert lease.has_turn
    assert not any(event.is_set() for event in lease.due.values())


def dead_worker(client: redis.Redis) -> None:
    client.sadd(WORKERS, "dead")


def agenda(client: redis.Redis) -> None:
    client.zadd(AGENDA, {"default:default:1": int(time.time() * 1000) - 5000})


def scheduled_job(client: redis.Redis) -> None:
    client.zadd("rq:scheduled:mail", {"a": int(time.time()) - 5, "b": 4e9})


def job_taken_by_a_stock_worker(client: redis.Redis) -> None:
    client.rpush("rq:queue:mail:intermediate", "a")


def job_started_by_a_stock_worker(client: redis.Redis) -> None:
    client.zadd("rq:wip:mail", {"a:1": int(time.time()) + 300, "b:mine": "+inf"})


def job_just_failed(client: redis.Redis) -> None:
    client.zadd("rq:failed:mail", {"a": int(time.time()) + FAILURE_TTL_S})


@pytest.mark.parametrize(
    ("happens", "what"),
    [
        (dead_worker, "dead workers"),
        (agenda, "agenda"),
        (scheduled_job, "scheduled jobs"),
        (job_taken_by_a_stock_worker, "foreign workers"),
        (job_started_by_a_stock_worker, "foreign workers"),
        (job_just_failed, "foreign workers"),
    ],
)
async def test_a_renewal_finds_what_is_due(
    redis_client: redis.Redis, make_lease: MakeLease, happens: Callable[[redis.Redis], None], what: Due
) -> None:
    lease, other = make_lease("mine"), make_lease("other")
    await lease.renew()
    await other.renew()
    redis_client.set("bellhop:workers:calm_since", 1)
    happens(redis_client)
    redis_client.delete("bellhop:workers:turn")
    await lease.renew()
    await other.renew()
    assert [word for word, event in lease.due.items() if event.is_set()] == [what]
    assert not any(event.is_set() for event in other.due.values()), "it is not its turn"


async def test_what_ended_long_ago_is_not_due(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    redis_client.zadd("rq:failed:rings", {"a": int(time.time()) + FAILURE_TTL_S - 60})
    redis_client.zadd("rq:wip:rings", {"b:mine": "+inf"})
    redis_client.zadd("rq:scheduled:mail", {"c": 4e9})
    redis_client.zadd(AGENDA, {"default:default:1": 4e12})
    lease = make_lease("mine")
    await lease.renew()
    assert lease.has_turn
    assert not any(event.is_set() for event in lease.due.values())


async def test_a_renewal_may_tell_which_queues_have_jobs(redis_client: redis.Redis, redis_url: str) -> None:
    lease = Lease(
        Store.from_url(redis_url, timeout_s=20.0),
        "mine",
        QueueNames(["rings", "notices"], ["mail"], {"old": "rings"}),
        lambda: {"state": "idle"},
        tells_waiting=True,
    )
    redis_client.rpush("rq:queue:notices", "a")
    redis_client.rpush("rq:queue:mail", "b")
    await lease.renew()
    await lease.store.close()
    assert [queue for queue, event in lease.waiting.items() if event.is_set()] == ["notices"]


async def test_looking_for_the_dead_does_not_grow(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    lease = make_lease("mine")
    await lease.renew()
    await lease.store.load_scripts()
    neighbours = Neighbours(lease.store, lease.name)
    counts = []
    for count in (10, 900):
        others(redis_client, count)
        await neighbours.remove_dead()  # it reads the new ones
        redis_client.set("bellhop:workers:calm_since", 1)
        reaping = await commands(redis_client, lambda: reap_workers(lease.store, QUEUES, PATIENT))
        counts.append((reaping, await commands(redis_client, neighbours.remove_dead)))
    assert counts[0] == counts[1]
    assert sum(counts[0]) < 10
    assert redis_client.scard(WORKERS) == 901, "nobody was removed"


async def test_one_worker_at_a_time_has_the_turn(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    leases = [make_lease(f"w-{number}") for number in range(5)]
    for lease in leases:
        await lease.renew()
    assert [lease.has_turn for lease in leases] == [True, False, False, False, False]
    assert [lease.neighbours_turn.is_set() for lease in leases] == [True] * 5, "they are one process"


async def test_the_turn_of_a_dead_worker_ends(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    dead, mine = make_lease("dead", LeaseTimes()), make_lease("mine")
    await dead.renew()
    async with asyncio.timeout(20):
        while not mine.has_turn:
            await mine.renew()
            await asyncio.sleep(0.1)
    assert redis_client.get("bellhop:workers:turn") == b"mine"


async def test_the_death_of_the_neighbours_worker_is_seen(redis_client: redis.Redis, make_lease: MakeLease) -> None:
    sleeper = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
    turn = neighbours_turn_key(pid_namespace())
    redis_client.set(turn, sleeper.pid)
    lease = make_lease("mine")
    await lease.renew()
    assert not lease.neighbours_turn.is_set(), "it lives"
    sleeper.send_signal(signal.SIGKILL)
    await sleeper.wait()
    await lease.renew()
    assert lease.neighbours_turn.is_set(), "before its turn has ended"
    assert redis_client.get(turn) == str(sleeper.pid).encode()


async def test_a_lost_job_is_adopted_at_the_next_renewal(queue_client: QueueClient, make_lease: MakeLease) -> None:
    lease = make_lease("mine")
    ran = asyncio.Event()

    async def run(payload: object) -> None:
        ran.set()

    jobs = running_jobs(JobStore(lease.store, "mine"), {"jobs.sleep": run})
    maintenance = Maintenance(lease, jobs, QUEUES)
    await maintenance.once()
    queue_client.sleep("lost", queue="mail")
    queue_client.redis.lmove("rq:queue:mail", inflight_key("mail", "mine"), "LEFT", "RIGHT")
    await maintenance.once()
    async with asyncio.timeout(20):
        await ran.wait()
