"""Takes without a wait, as on a cluster: what is taken, and whether another take or worker must look at the queue."""

import asyncio
from collections.abc import Callable

import pytest
import redis

from bellhop.store.async_client import Store
from bellhop.store.homes import ALONE
from bellhop.store.keys import RQ_SUSPENDED
from bellhop.store.redis_clock import RedisClock
from tests.worker.queue.conftest import PATIENT, QueueClient
from worker.queue.concurrency_limit import limits_of
from worker.queue.isolation import Isolation
from worker.queue.job_taker import TAKEN_AT_ONCE, JobTaker
from worker.queue.partition_worker import PartitionWorker
from worker.queue.worker_setup import QueueNames, WorkerSetup

PLACES = 6


class Taking:
    """A worker's part that takes jobs of one queue; they run until `end` is set."""

    def __init__(self, store: Store, *, in_turn: bool = False) -> None:
        self.began: list[str] = []
        self.end, self.stopping = asyncio.Event(), asyncio.Event()
        self.isolation = Isolation()
        setup = WorkerSetup(
            name="w-1",
            queues=QueueNames(["rings"]),
            limits=limits_of({"rings": PLACES}),
            isolation=self.isolation,
            find_handler={"jobs.sleep": self._run}.get,
            describe=lambda **_: {"state": "idle"},
            job_names=["jobs.sleep"],
            in_turn=in_turn,
            work_off_agenda=None,
            note_redis=lambda _: None,
            clock=RedisClock(),
        )
        self.part = PartitionWorker(setup, ALONE[0], store, store, setup.note_redis, is_first=True)
        self.part.lease._times = PATIENT
        self.taker = JobTaker(self.part, "rings", self.stopping, in_turn=in_turn, wind_up_s=1.0)

    async def _run(self, payload: dict[str, str]) -> None:
        self.began.append(payload["label"])
        await self.end.wait()

    async def take(self) -> bool:
        more = await self.taker.take_waiting()
        await asyncio.sleep(0)
        return more


@pytest.fixture
async def taking(store: Store) -> Taking:
    taking = Taking(store)
    await taking.part.maintenance.once()
    return taking


def labels(count: int) -> list[str]:
    return [f"job-{number}" for number in range(count)]


async def test_takes_go_on_until_the_queue_or_the_places_end(queue_client: QueueClient, taking: Taking) -> None:
    assert not await taking.take(), "no job waits"
    for label in labels(PLACES + 1):
        queue_client.sleep(label)
    assert [await taking.take() for _ in range(3)] == [True] * 3, "the last take finds no place"
    assert taking.began == labels(PLACES)
    assert queue_client.queue.job_ids == labels(PLACES + 1)[-1:]
    taking.end.set()
    await asyncio.gather(*taking.part.jobs.tasks)
    assert not await taking.take()
    await asyncio.gather(*taking.part.jobs.tasks)
    assert sorted(taking.began) == labels(PLACES + 1)


def suspend(taking: Taking, client: redis.Redis) -> None:
    client.set(RQ_SUSPENDED, 1)


def lose_lease(taking: Taking, client: redis.Redis) -> None:
    taking.part.lease._valid_until = 0.0


def stop(taking: Taking, client: redis.Redis) -> None:
    taking.stopping.set()


@pytest.mark.parametrize("happens", [suspend, lose_lease, stop])
async def test_nothing_is_taken_without_the_right_to_it(
    queue_client: QueueClient, taking: Taking, happens: Callable[[Taking, redis.Redis], None]
) -> None:
    queue_client.sleep("waits")
    happens(taking, queue_client.redis)
    if happens is suspend:
        await taking.part.maintenance.once()
    assert not await taking.take()
    assert queue_client.queue.job_ids == ["waits"]


async def test_a_suspect_that_runs_alone_leaves_jobs_to_others(queue_client: QueueClient, taking: Taking) -> None:
    queue_client.sleep("waits")
    taking.isolation.announce(b"suspect")
    assert await taking.take(), "another worker may take it"
    assert queue_client.queue.job_ids == ["waits"]


async def test_what_a_worker_takes_when_it_stops_goes_back(
    queue_client: QueueClient, taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_client.sleep("waits")
    take = taking.part.job_store.take_waiting_jobs

    async def stops_meanwhile(*args: object, **options: object) -> object:
        taken = await take(*args, **options)
        taking.stopping.set()
        return taken

    monkeypatch.setattr(taking.part.job_store, "take_waiting_jobs", stops_meanwhile)
    await taking.take()
    assert queue_client.queue.job_ids == ["waits"]
    assert queue_client.redis.hget("rq:job:waits", "status") == b"queued"
    assert queue_client.inflight() == []


async def test_jobs_of_a_tenant_with_its_share_are_left(store: Store, queue_client: QueueClient) -> None:
    taking = Taking(store, in_turn=True)
    await taking.part.maintenance.once()
    for label in labels(PLACES + 1):
        queue_client.sleep_plain(label, tenant="loud")
    assert [await taking.take() for _ in range(2)] == [True] * 2, "another worker may have places for its other jobs"
    assert taking.began == labels(TAKEN_AT_ONCE), "the tenant has its share"
    taking.end.set()
    await asyncio.gather(*taking.part.jobs.tasks)
    assert not await taking.take()
    await asyncio.gather(*taking.part.jobs.tasks)
    assert sorted(taking.began) == labels(PLACES + 1)
