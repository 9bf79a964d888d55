"""Stream's answers to custom events: what is sent, tried again and dropped."""

import asyncio
import contextlib

import aiohttp
import pytest

from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.store.redis_clock import RedisClock
from bellhop.stream_api import StreamApi
from tests.clocks import know_difference
from tests.factories import a_round
from worker.announcements import caller_teller
from worker.announcements.caller_teller import FAILURES, RING_IS_OVER, CallerTeller
from worker.announcements.outbox import Refused, Sent, TryAgain

SECRET = "a-secret-that-pyjwt-finds-long-enough"


@pytest.fixture
def telling(store):
    @contextlib.asynccontextmanager
    async def telling(*secrets):
        async with StreamApiStandIn("key", SECRET) as stream, aiohttp.ClientSession() as session:
            api = StreamApi(session, stream.url, "key", *(secrets or (SECRET,)))
            yield stream.events, CallerTeller(api, "default", store, RedisClock())

    return telling


def document(type_=AnnouncementType.RINGING, **changes):
    round_ = a_round("ben", **changes)
    return about_ring(type_, round_, "ben", round_.started_at, reason="muted").document().encode()


async def test_the_callers_app_is_told_no_more_than_the_page_says(telling):
    async with telling("another-secret-that-pyjwt-finds-long-enough", SECRET) as (events, teller):
        assert await teller.send(document(AnnouncementType.UNREACHABLE)) == Sent()
    refused, event = events.requests
    assert (refused.status, event.status, event.cid, event.user) == (401, 201, "default:1", "sara")
    assert set(event.custom) == {"type", "user_id", "ring_started_at"}
    assert event.custom["type"] == "bellhop.ring.unreachable"


async def test_after_the_ring_nothing_is_sent(telling):
    async with telling() as (events, teller):
        assert await teller.send(document(for_s=30, ago_s=31)) == Refused(RING_IS_OVER)
    assert events.requests == []


@pytest.mark.parametrize("ahead_s", [-65, 65])
async def test_a_ring_that_goes_on_is_told_with_clocks_apart(telling, store, ahead_s):
    await know_difference(store, ahead_s)
    async with telling() as (_, teller):
        assert await teller.send(document(ago_s=ahead_s)) == Sent()
        assert await teller.send(document(for_s=30, ago_s=ahead_s + 31)) == Refused(RING_IS_OVER)


@pytest.mark.parametrize("status", [0, 500, 503])
async def test_a_failure_is_tried_again(telling, status):
    async with telling() as (events, teller):
        events.statuses = [status]
        assert isinstance(await teller.send(document()), TryAgain)
        assert await teller.send(document()) == Sent()


@pytest.mark.parametrize(("status", "for_all"), [(400, False), (403, True), (404, False)])
async def test_what_stream_will_never_take_is_given_up(telling, status, for_all):
    async with telling() as (events, teller):
        events.statuses = [status]
        assert await teller.send(document()) == Refused(f"status {status}", is_away=for_all)


async def test_streams_limit_holds_for_all_calls_of_the_app(telling):
    async with telling() as (events, teller):
        events.statuses, events.reset_s = [429], 20.0
        first = await teller.send(document())
        assert isinstance(first, TryAgain)
        assert 10 <= first.after_s <= 21
        second = await teller.send(document(cid="default:2"))
        assert isinstance(second, TryAgain)
        assert second.after_s > 0
        assert len(events.requests) == 1


async def test_while_stream_does_not_answer_other_calls_do_not_wait(telling, monkeypatch):
    monkeypatch.setattr(caller_teller, "BACKOFF_S", (10.0, 10.0))
    monkeypatch.setattr(caller_teller, "BUSY_S", 20.0)
    async with telling() as (events, teller):
        events.statuses = [503] * FAILURES
        for number in range(FAILURES):
            await teller.send(document(cid=f"default:{number}"))
        asked = len(events.requests)
        put_off = await teller.send(document())
        assert (put_off.reason, put_off.after_s) == ("status 503", 20.0)
        assert len(events.requests) == asked
        teller._paused_until_s = 0.0
        events.pause_s = 0.2
        first, second = await asyncio.gather(teller.send(document()), teller.send(document(cid="default:2")))
        assert (first, type(second)) == (Sent(), TryAgain)
        assert await teller.send(document(cid="default:2")) == Sent()


async def test_what_stream_takes_only_after_the_ring_is_dropped(telling):
    async with telling() as (events, teller):
        events.statuses, events.reset_s = [429], 60.0
        result = await teller.send(document(for_s=5))
        assert isinstance(result, Refused)
        assert result.reason.startswith(RING_IS_OVER)
        assert len(events.requests) == 1
