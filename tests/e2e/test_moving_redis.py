"""A whole move to another Redis: calls that ring at the switch end where they began, and new calls ring."""

from contextlib import asynccontextmanager

import pytest

from bellhop.domain.device import Device, Kind, Provider
from bellhop.sandbox.installation import WEB_APP, Installation
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.registry import register
from bellhop.store.steps import run_steps
from tests.e2e.bellhop_command import bellhop
from tests.redis_cluster import RedisCluster
from tests.waiting import come_true

BROWSER_OF, PHONE_OF, TOKEN = "jane-morel", "ben-osei", "ben:pixel"
SETTINGS = {"RECEIPT_SECRET": "signs-the-receipts", "MISSED_GRACE_S": "1"}


class OnOneServer(Installation):
    """It begins on a single Redis."""

    new_redis = RedisServer


class OnCluster(Installation):
    """It begins on a cluster."""

    new_redis = RedisCluster


@asynccontextmanager
async def to_a_cluster(folder):
    """Move from a single Redis to a cluster; yields the installation, both URLs, and options of `bellhop migrate`."""
    with RedisCluster(folder / "new") as new:
        async with OnOneServer(folder, SETTINGS, web_push=True) as installation:
            yield installation, installation.redis.url, f"{new.url}?partitions=16", ()


@asynccontextmanager
async def to_more_partitions(folder):
    """Move to another number of partitions on the same cluster."""
    async with OnCluster(folder, SETTINGS, web_push=True) as installation:
        url = installation.redis.url
        yield installation, f"{url}?partitions=16", f"{url}?partitions=32", ("--switch",)


MOVES = {"a cluster": to_a_cluster, "more partitions": to_more_partitions}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
async def test_calls_end_where_they_rang(tmp_path, move):
    async with move(tmp_path) as (installation, old, new, options):
        await a_browser(installation)
        await installation.register(PHONE_OF, Provider.FCM, Kind.VOIP, TOKEN)
        call, other = (SampleCall(members=(BROWSER_OF, PHONE_OF), ring_ms=180_000) for _ in range(2))
        early = SampleCall(members=(PHONE_OF,), ring_ms=180_000)
        ring, late_ring = call.ring(), early.ring()
        await posted(installation, ring, other.ring(), early.accepted(PHONE_OF))
        await come_true(lambda: heard(installation, call) == ["call.ring"] * 2)

        status, output = await bellhop(installation, "migrate", "--from", old, "--to", new, *options)
        assert status == 0, output
        installation.settings |= {"REDIS_URL": new, "REDIS_FORMER_URL": old}
        installation.stop("web")
        installation.start("worker", "new-worker")
        installation.start("web")
        await installation.ready()

        await posted(installation, late_ring, call.accepted(BROWSER_OF), ring)
        await come_true(lambda: "call.ring_over" in heard(installation, call))
        (rang,) = [a for a in installation.arrivals if (a.cid, a.provider) == (call.cid, Provider.FCM)]
        declined = {"receipt": rang.ticket, "event": "declined"}
        async with installation.http.post(f"{installation.url}/v1/receipts", json=declined) as answer:
            assert answer.status == 204
        await come_true(lambda: [one.user for one in installation.stream_api.rejects] == [PHONE_OF])
        await posted(installation, other.rejected("sara-lind"), other.missed())
        await come_true(lambda: heard(installation, other).count("call.missed") == 2)

        later = SampleCall(members=(BROWSER_OF, PHONE_OF))
        await posted(installation, later.ring())
        await come_true(lambda: heard(installation, later) == ["call.ring"] * 2)
        await posted(installation, later.accepted(BROWSER_OF))
        await come_true(lambda: "call.ring_over" in heard(installation, later))
        assert heard(installation, call).count("call.ring") == 2, "the ring that came again was no new one"
        assert heard(installation, other).count("call.missed") == 2
        assert not heard(installation, early), "it was answered before its ring came"
        status, output = await bellhop(installation, "check")
        assert "Former Redis: calls that began at" in output, output


async def a_browser(installation):
    """Register Jane's browser."""
    browser = installation.push_service.subscribe(installation.web_push_keys.public)
    given = browser.subscription
    device = Device(
        user_id=BROWSER_OF, provider=Provider.WEB_PUSH, app=WEB_APP, token=given["endpoint"], **given["keys"]
    )
    await run_steps(register("default", device), installation.store)


async def posted(installation, *events):
    for event in events:
        reply = await installation.stream.post(event)
        assert reply.status == 200, reply


def heard(installation, call):
    """The types of the pushes of a call, in their order."""
    return [arrival.type for arrival in installation.arrivals if arrival.cid == call.cid]
