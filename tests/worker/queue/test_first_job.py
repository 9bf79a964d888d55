"""A worker's first job is as fast as its later ones."""

import asyncio

from tests.worker.queue.conftest import SOON_S, QueueClient
from worker.queue import job_taker, queue_worker
from worker.queue.queue_worker import QueueWorker


async def done_by_a_new_worker(queue_client: QueueClient, prepares_for_s: float = 0) -> list[str]:
    """Let a worker do the one job that is queued; returns what happened, in order."""
    done, happened = asyncio.Event(), []

    async def handle(_: object) -> None:
        happened.append("job")
        done.set()

    async def prepare() -> None:
        happened.append("begun to prepare")
        await asyncio.sleep(prepares_for_s)
        happened.append("prepared")

    queue_client.sleep("first")
    worker = QueueWorker(queue_client.url, {"rings": 5}, {"jobs.sleep": handle}, prepare=prepare)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(done.wait(), SOON_S)
    finally:
        worker.stop()
        await running
    return happened


async def test_the_first_job_waits_for_no_pause(queue_client, monkeypatch):
    """Every take without a lease pauses. At the start that was a tenth of a second of the first ring."""
    monkeypatch.setattr(job_taker, "SHORT_PAUSE_S", 10 * SOON_S)

    assert "job" in await done_by_a_new_worker(queue_client)


async def test_the_worker_prepares_before_its_first_job(queue_client):
    happened = await done_by_a_new_worker(queue_client, prepares_for_s=0.2)

    assert happened == ["begun to prepare", "prepared", "job"]


async def test_a_slow_preparation_does_not_hold_up_jobs(queue_client, monkeypatch):
    monkeypatch.setattr(queue_worker, "PREPARE_S", 0.1)

    happened = await done_by_a_new_worker(queue_client, prepares_for_s=10 * SOON_S)

    assert happened == ["begun to prepare", "job"]
