"""What `bellhop check` says about the live workers."""

import pytest

from bellhop.cli.check import workers
from bellhop.cli.check.finding import Level
from bellhop.queue.names import EVENTS, MAIL, NOTICES, RINGS, STREAM
from bellhop.queue.worker_status import ChannelStatus, WorkerStatus
from bellhop.settings import Settings
from bellhop.store.keys import lease_key, rq_queue_key, rq_worker_key, rq_workers_key, status_key


@pytest.fixture
def check(redis_url, redis_client):
    def live(name, *queues, refused=""):
        """Let a worker live that serves these queues."""
        redis_client.set(lease_key(name), 1)
        channel = ChannelStatus("apns", "com.example", blocked=bool(refused), refused=refused)
        redis_client.set(status_key(name), WorkerStatus((channel,)).to_json())
        for queue in queues:
            redis_client.sadd(rq_workers_key(queue), rq_worker_key(name))

    async def findings(**settings):
        return [finding async for finding in workers.findings(Settings(redis_url=redis_url, **settings))]

    findings.live = live
    return findings


async def problems(check, **settings):
    return [f"{found.subject}: {found.sentence}" for found in await check(**settings) if found.level is Level.PROBLEM]


async def test_a_worker_for_each_queue_is_all_that_is_needed(check):
    check.live("w-1", RINGS, NOTICES)
    assert await problems(check) == []


async def test_a_queue_that_no_live_worker_serves_is_named(check):
    check.live("w-1", NOTICES)
    (problem,) = await problems(check)
    assert problem.startswith(f"queue {RINGS}: no live worker serves it")


async def test_emails_that_nobody_takes_are_named(check, redis_client):
    check.live("w-1", RINGS, NOTICES)
    redis_client.rpush(rq_queue_key(MAIL), "mail-1")
    (problem,) = await problems(check)
    assert "queue bellhop-mail: no live worker serves it: start a worker whose settings have a mail server" in problem


async def test_an_unserved_queue_beside_the_rings_is_a_warning(check, redis_client):
    check.live("w-1", RINGS, NOTICES)
    redis_client.rpush(rq_queue_key(EVENTS), "send-events-1")
    stream = {"stream_api_key": "key", "stream_api_secret": "a-secret", "receipt_secret": "signs-the-receipts"}
    warned = [found.subject for found in await check(**stream) if found.level is Level.WARNING]
    assert warned == [f"queue {STREAM}", f"queue {EVENTS}"]


async def test_credentials_refused_to_a_worker_are_named(check):
    check.live("w-1", RINGS, NOTICES)
    check.live("w-2", RINGS, NOTICES, refused="InvalidProviderToken")
    (problem,) = await problems(check)
    assert (
        problem
        == "apns com.example: the provider refuses the credentials, as 1 of 2 workers report (InvalidProviderToken)"
    )


async def test_without_a_worker_only_that_is_said(check):
    (only,) = await check()
    assert "no worker is alive" in only.sentence
