"""Jobs that may wait begin a few at a time, and none of them keeps its place."""

import asyncio

import pytest

from tests.waiting import come_true
from worker.gentle_start import GentleStart

LONG_S = 60.0


class Job:
    """A handler whose jobs say that they have begun, or end, when the test wants it."""

    def __init__(self):
        self.started, self.begins, self.ends = [], asyncio.Event(), asyncio.Event()

    async def __call__(self, payload, begun):
        self.started.append(payload["number"])
        await self.begins.wait()
        begun()
        begun()  # each attempt of a push says so
        await self.ends.wait()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_next_jobs_begin_when_the_first_have_begun():
    job = Job()
    handler = GentleStart(2, LONG_S)(job)
    tasks = [asyncio.create_task(handler({"number": number})) for number in range(5)]
    await settled()
    assert job.started == [0, 1]
    job.begins.set()
    await settled()
    assert job.started == [0, 1, 2, 3, 4]
    job.ends.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_job_that_fails_gives_its_place_back(error):
    async def fail(payload, begun):
        raise error

    handler = GentleStart(1, LONG_S)(fail)
    for _ in range(3):
        with pytest.raises(error):
            await handler({})


async def test_a_job_that_waits_for_a_provider_counts_no_more():
    job = Job()
    handler = GentleStart(1, 0.01)(job)
    tasks = [asyncio.create_task(handler({"number": number})) for number in range(3)]
    await come_true(lambda: len(job.started) == 3)
    job.begins.set()
    job.ends.set()
    await asyncio.gather(*tasks)
