"""Large bodies, gzip bodies and wrong signatures: what is taken, what is refused, and who waits for it."""

import asyncio
import gzip
import json
import os
import secrets
import threading
import time

import aiohttp
import pytest
from yarl import URL

from bellhop.queue.names import RINGS
from bellhop.sandbox.stream_webhooks import SampleCall, as_posted
from tests.waiting import come_true
from tests.webhook.test_views_on_the_loop import serving, sign
from webhook import verified_request
from webhook.server.fair_thread import FairThread
from webhook.server.request_server import RequestServer
from webhook.server.webhook_bodies import WebhookBodies

BOMB = gzip.compress(bytes(16 << 20), 9)
WRONG = {"X-Signature": "00" * 32}


def large_ring(padding=4_800, members=100):
    """A ring of a call whose members have much custom data."""
    event = SampleCall(members=tuple(f"user-{number}" for number in range(members))).ring()
    for member in event["members"]:
        member["user"]["custom"] = {"notes": secrets.token_hex(padding // 2)}
    return as_posted(event)


@pytest.mark.parametrize("on_loop", [True, False])
async def test_a_ring_of_many_members_with_much_data_is_taken(redis_url, redis_client, on_loop):
    plain, large = large_ring(), large_ring(padding=100_000)
    sizes = len(plain), len(large)
    assert sizes > (500_000, 9_000_000)
    async with serving(redis_url, on_loop=on_loop) as post:
        assert await post(plain) == (200, {"status": "taken"})
        assert await post(large) == (200, {"status": "taken"})
        third = large_ring(padding=40_000)
        assert await post(gzip.compress(third, 1), **sign(third)) == (200, {"status": "taken"})
        assert await post(large) == (200, {"status": "already"})
    assert redis_client.llen(f"rq:queue:{RINGS}") == 3


async def test_a_large_body_in_chunks_is_taken(redis_url):
    body = large_ring()

    async def parts():
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    async with serving(redis_url) as post:
        url = post.url
        async with aiohttp.ClientSession() as session:
            for headers, status in ((sign(body), 200), (WRONG, 401)):
                async with session.post(url, data=parts(), headers=headers) as reply:
                    assert reply.status == status


async def test_a_large_body_that_cannot_be_read_is_kept(redis_url, redis_client):
    async with serving(redis_url) as post:
        status, answer = await post(b"[" + b" " * (15 << 20))
    assert (status, answer["status"]) == (200, "kept")
    [key] = redis_client.keys("bellhop:unreadable:*")
    assert len(redis_client.lindex(key, 0)) < 70_000


async def test_the_largest_body_is_a_setting(redis_url):
    async with serving(redis_url, webhook_max_bytes=1 << 20) as post:
        assert (await post(b"[" + b" " * ((1 << 20) - 1)))[0] == 200
        assert (await post(b"[" + b" " * (1 << 20)))[0] == 413
        body = b"[" + b" " * (1 << 20)
        assert (await post(gzip.compress(secrets.token_bytes(10_000) + body), **WRONG))[0] == 413


async def test_a_wrong_signature_of_a_large_body_is_refused(redis_url):
    async with serving(redis_url) as post:
        for body in (large_ring(), gzip.compress(large_ring())):
            assert (await post(body, **WRONG))[0] == 401


async def test_large_bodies_arrive_in_turn(redis_url, monkeypatch):
    body, turns = b"[" + b" " * (2 << 20), [0]
    go_on = RequestServer._go_on

    def counted(server):
        turns.append(len(server._paused))
        go_on(server)

    monkeypatch.setattr(RequestServer, "_go_on", counted)
    async with serving(redis_url) as post:
        answers = await asyncio.gather(*(post(body, **WRONG) for _ in range(4)))
    assert [status for status, _ in answers] == [401] * 4
    assert max(turns) > 1
    assert len(turns) > 4 * len(body) // (256 << 10)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [("X-Api-Key: key", "is missing"), ("X-Signature: 00", "does not match"), ("X-Api-Key: other", "not the key")],
)
async def test_headers_alone_refuse_a_large_body(redis_url, headers, reason):
    if "Api-Key: other" in headers:
        headers += "\r\nX-Signature: " + "00" * 32
    async with serving(redis_url) as post:
        url = URL(post.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {url.path} HTTP/1.1\r\nHost: bellhop\r\n{headers}\r\nContent-Length: 16000000\r\n\r\n"
        writer.write(head.encode())  # and no body
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert reason.encode() in answer


async def test_a_bomb_is_refused_without_inflating_all_of_it(redis_url):
    async with serving(redis_url) as post:
        status, answer = await post(BOMB, **WRONG)
    assert status == 413
    assert "BELLHOP_WEBHOOK_GZIP_RATIO" in answer["error"]


async def test_nothing_is_inflated_for_an_address_that_may_not_post(redis_url, monkeypatch):
    def verify(*_):
        raise AssertionError

    monkeypatch.setattr(WebhookBodies, "verify", verify)
    async with serving(redis_url, web_trusted_hops=1, webhook_networks=["192.0.2.0/24"]) as post:
        assert (await post(BOMB, **WRONG, **{"X-Forwarded-For": "198.51.100.1"}))[0] == 403


async def test_bombs_of_one_client_do_not_delay_others(redis_url, monkeypatch):
    """The bombs inflate in a separate thread. A right gzip body of another client comes after one bomb at most."""
    attacker, honest = "192.0.2.66", "192.0.2.1"
    arrived, inflated, all_here = [], [], threading.Event()
    add, verify = FairThread.add, WebhookBodies.verify

    def noted_add(thread, client, work, **options):
        arrived.append(client)
        return add(thread, client, work, **options)

    def noted_verify(bodies, environ, body, client):
        all_here.wait(30)
        inflated.append(client)
        verify(bodies, environ, body, client)

    monkeypatch.setattr(FairThread, "add", noted_add)
    monkeypatch.setattr(WebhookBodies, "verify", noted_verify)
    async with serving(redis_url, web_trusted_hops=1, webhook_failures_per_minute=1_000) as post:
        bomb = gzip.compress(os.urandom(1_000) * 3_000, 1)
        flood = [asyncio.create_task(post(bomb, **WRONG, **{"X-Forwarded-For": attacker})) for _ in range(60)]
        await come_true(lambda: arrived == [attacker] * 60)
        event = as_posted(SampleCall().ring("ben"))
        ring = asyncio.create_task(post(gzip.compress(event), **sign(event), **{"X-Forwarded-For": honest}))
        await come_true(lambda: honest in arrived)
        all_here.set()
        assert (await ring)[0] == 200
        assert {reply[0] for reply in await asyncio.gather(*flood)} <= {401, 503}
    assert inflated[:3] == [attacker, attacker, honest]
    assert len(inflated) > 40, "the flood was not refused unread"


async def test_large_bodies_of_one_client_push_out_only_their_own(redis_url):
    """A right body that arrives slowly is the oldest one when another client's bodies fill the memory."""
    body, flooded = large_ring(), asyncio.Event()

    async def slowly():
        yield body[:100_000]
        await flooded.wait()
        yield body[100_000:]

    settings = {"web_trusted_hops": 1, "webhook_failures_per_minute": 1_000}
    async with serving(redis_url, **settings) as post, aiohttp.ClientSession() as session:
        honest, attacker = ({"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 66))
        slow = asyncio.create_task(session.post(post.url, data=slowly(), headers=sign(body) | honest))
        await asyncio.sleep(0.05)
        flood = [post(b"[" + b" " * (15 << 20), **WRONG, **attacker) for _ in range(8)]
        replies = await asyncio.gather(*flood, return_exceptions=True)
        flooded.set()
        assert (await slow).status == 200
    refused = {reply[0] for reply in replies if isinstance(reply, tuple)}
    assert refused <= {401, 408}


async def test_a_client_who_fails_often_is_answered_slowly(redis_url, monkeypatch):
    async with serving(redis_url, web_trusted_hops=1, webhook_failures_per_minute=5) as post:

        async def took_s(address, event=None, **headers):
            began = time.monotonic()
            status, _ = await post(SampleCall().ring("ben") if event is None else event, **headers, **address)
            return status, time.monotonic() - began

        attacker, stream = {"X-Forwarded-For": "192.0.2.66"}, {"X-Forwarded-For": "192.0.2.1"}
        for _ in range(5):
            await post(b"{}", **WRONG, **attacker)
        status, time_s = await took_s(attacker, **WRONG)
        assert status == 401 and time_s >= 1
        monkeypatch.setattr(verified_request, "SLOW_S", 20.0)
        status, time_s = await took_s(stream, **WRONG)
        assert status == 401 and time_s < 20, "another client"
        status, time_s = await took_s(attacker)
        assert status == 200 and time_s < 20, "a right signature"


async def test_a_right_gzip_body_ends_its_clients_failures(redis_url, monkeypatch):
    monkeypatch.setattr(verified_request, "SLOW_S", 20.0)
    async with serving(redis_url, webhook_failures_per_minute=5) as post:
        for _ in range(5):
            await post(b"{}", **WRONG)
        event = as_posted(SampleCall().ring("ben"))
        assert (await post(gzip.compress(event), **sign(event)))[0] == 200
        began = time.monotonic()
        assert (await post(b"{}", **WRONG))[0] == 401
        assert time.monotonic() - began < 20


async def test_an_untrusted_header_names_no_client(redis_url):
    async with serving(redis_url, webhook_failures_per_minute=5) as post:
        for number in range(6):
            await post(b"{}", **WRONG, **{"X-Forwarded-For": f"192.0.2.{number}"})
        began = time.monotonic()
        await post(b"{}", **WRONG, **{"X-Forwarded-For": "192.0.2.99"})
        assert time.monotonic() - began >= 1, "all came from one address"


async def test_many_slow_answers_do_not_hold_all_connections(redis_url):
    async with serving(redis_url, webhook_failures_per_minute=1) as post:
        replies = await asyncio.gather(*(post(b"{}", f"w{number}", **WRONG) for number in range(150)))
        assert {status for status, _ in replies} == {401}
        assert (await post(json.loads(as_posted(SampleCall().ring("ben")))))[0] == 200


async def test_many_gzip_bodies_that_come_at_once_are_taken(redis_url):
    events = [as_posted(SampleCall().ring("ben")) for _ in range(300)]
    async with serving(redis_url) as post:
        replies = await asyncio.gather(*(post(gzip.compress(event), **sign(event)) for event in events))
    assert {status for status, _ in replies} == {200}
