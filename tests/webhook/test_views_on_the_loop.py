"""The views of webhooks and receipts give the same answers on the event loop, in a thread, and under another server.

On the loop it never blocks.
"""

import asyncio
import base64
import builtins
import gc
import gzip
import hashlib
import hmac
import io
import json
import socket
import sys
import threading
import time
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import jwt
import pytest
import redis
from greenlet import getcurrent
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from bellhop.domain.ticket import Ticket, sign_ticket
from bellhop.queue.names import RINGS, STREAM
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.async_client import Store
from bellhop.store.keys import call_key, rings_by_key, rings_of_call_key, round_key, trail_key, unreadable_key
from bellhop.trail import read_trail
from tests.factories import web_settings
from tests.proxy import Proxy
from webhook.app import create_app
from webhook.intake.apply import webhook_digest
from webhook.intake_redis import LATE_S, LoopConnections
from webhook.loop_greenlet import LoopGreenlet, LoopGreenlets, on_the_loop, wait_for
from webhook.server.request_server import RequestServer
from webhook.server.serving_process import LIMITS, limits_for_webhooks, runs_on_loop
from webhook.server.webhook_bodies import WebhookBodies

USER = {"type": "user.deleted", "created_at": "2026-11-25T20:00:00Z", "user": {"id": "ben"}}


def sign(body):
    return {"X-Signature": hmac.new(b"secret", body, hashlib.sha256).hexdigest()}


@asynccontextmanager
async def serving(redis_url, *, on_loop=True, **settings):
    """The web process's server in this event loop; yields a function that posts a webhook."""
    app = create_app(web_settings(redis_url, **settings))
    context = app.extensions["context"]
    intake_redis = context.intake_redis
    connections = [LoopConnections(each.new_store) for each in (context, context.former) if each]
    if on_loop:
        for each, own in zip((context, context.former), connections, strict=False):
            each.intake_redis.use_on_the_loop(own)
    limits = limits_for_webhooks(LIMITS, context.body_limits.max_bytes)
    server = RequestServer(app, limits, 2, partial(runs_on_loop, intake_redis), WebhookBodies(context))
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    try:
        async with posting(listening.sockets[0].getsockname()[1]) as post:
            yield post
    finally:
        listening.close()
        await server.stop()
        for each in connections:
            await each.close()


@asynccontextmanager
async def serving_elsewhere(redis_url, **settings):
    """The application under a server that is not ours."""
    with make_server("127.0.0.1", 0, create_app(web_settings(redis_url, **settings)), threaded=True) as server:
        running = threading.Thread(target=server.serve_forever, args=(0.01,))
        running.start()
        try:
            async with posting(server.port) as post:
                yield post
        finally:
            server.shutdown()
            running.join()


@asynccontextmanager
async def posting(port):
    url = f"http://127.0.0.1:{port}/webhooks/stream"
    async with aiohttp.ClientSession() as session:

        async def post(event, webhook_id="w1", **headers):
            body = event if isinstance(event, bytes) else json.dumps(event).encode()
            headers = {"X-Webhook-Id": webhook_id} | sign(body) | headers
            async with session.post(url, data=io.BytesIO(body), headers=headers) as reply:
                return reply.status, await reply.json()

        async def report(document):
            async with session.post(f"http://127.0.0.1:{port}/v1/receipts", json=document) as reply:
                return reply.status

        post.url, post.report = url, report
        yield post


SERVERS = {
    "on the loop": serving,
    "in a thread": partial(serving, on_loop=False),
    "under another server": serving_elsewhere,
}


@pytest.fixture(params=SERVERS)
async def post(redis_url, request):
    async with SERVERS[request.param](redis_url) as post:
        yield post


async def test_an_event_is_taken_once(post):
    event = SampleCall().ring("ben")
    assert await post(event) == (200, {"status": "taken"})
    assert await post(event) == (200, {"status": "already"})
    assert await post({"type": "call.created", "call_cid": "a:b"}, "w2") == (200, {"status": "ignored"})


RECEIPTS = {"receipt_secret": "signs-the-receipts"}


def a_receipt(redis_client, call):
    """The receipt of Ben's phone, as if a worker had rung it."""
    [started_at] = [name[2:] for name in redis_client.hkeys(call_key("default", call.cid)) if name.startswith(b"r:")]
    redis_client.hset(round_key("default", call.cid, int(started_at)), "to:" + "ab" * 10, "ben")
    ticket = Ticket("default", call.cid, int(started_at), "fcm", "ab" * 10)
    return sign_ticket(RECEIPTS["receipt_secret"].encode(), ticket)


@pytest.mark.parametrize("server", [serving, partial(serving, on_loop=False), serving_elsewhere], ids=SERVERS)
async def test_a_phone_declines_once(redis_url, redis_client, server):
    async with server(redis_url, **RECEIPTS) as post:
        call = SampleCall()
        await post(call.ring("ben"))
        receipt = a_receipt(redis_client, call)
        documents = ({"receipt": receipt, "event": event} for event in ("rang", "declined", "declined", "waved"))
        assert [await post.report(document) for document in documents] == [204, 204, 204, 422]
        assert [await post.report(document) for document in ({"receipt": "x"}, {"receipt": "x" * 5000})] == [403, 413]
        assert redis_client.llen(f"rq:queue:{STREAM}") == 1
        assert redis_client.hexists(call_key("default", call.cid), "d:ben")


@pytest.mark.parametrize("server", [serving, partial(serving, on_loop=False), serving_elsewhere], ids=SERVERS)
async def test_a_call_of_the_former_redis_is_declined_there(redis_url, own_redis, server):
    async with server(own_redis.url, **RECEIPTS) as post:
        call = SampleCall()
        await post(call.ring("ben", "jane"))
    async with server(redis_url, redis_former_url=own_redis.url, **RECEIPTS) as post:
        assert await post(call.accepted("jane"), "w3") == (200, {"status": "taken"})
        with redis.Redis.from_url(own_redis.url) as former:
            document = {"receipt": a_receipt(former, call), "event": "declined"}
            assert await post.report(document) == 204
            assert {b"a:jane", b"d:ben"} <= set(former.hkeys(call_key("default", call.cid)))


async def test_a_receipt_that_is_sent_too_often_costs_no_redis(redis_url, redis_client, one_minute):
    async with serving(redis_url, **RECEIPTS) as post:
        call = SampleCall()
        await post(call.ring("ben"))
        document = {"receipt": a_receipt(redis_client, call)}
        assert [await post.report(document) for _ in range(61)] == [204] * 60 + [429]
        commands = redis_client.info("commandstats")["cmdstat_hincrby"]["calls"]
        assert {await post.report(document) for _ in range(20)} == {429}
        assert redis_client.info("commandstats")["cmdstat_hincrby"]["calls"] == commands


async def test_a_counter_that_cannot_be_written_stops_no_ring(post, redis_client):
    call = SampleCall()
    minute = int(time.time()) // 60
    for later in range(3):
        redis_client.set(rings_of_call_key("default", call.cid, minute + later), "not a hash")
        redis_client.set(rings_by_key("default", call.caller, minute + later), "not a hash")
    for number in range(6):
        assert (await post(call.ring(), f"w{number}"))[1] == {"status": "taken"}
    assert redis_client.llen(f"rq:queue:{RINGS}") == 6


async def test_an_old_body_under_new_ids_costs_no_further_job(post, redis_client):
    call = SampleCall()
    event = call.ring("ben")
    assert (await post(event))[1] == {"status": "taken"}
    before = redis_client.dbsize()
    for number in range(50):
        assert await post(event, f"another-{number}") == (200, {"status": "already"})
    assert redis_client.llen(f"rq:queue:{RINGS}") == 1
    assert redis_client.dbsize() == before
    received, repeated = read_trail(redis_client.lrange(trail_key("default", call.cid), 0, -1))
    assert received.what == "received"
    assert 10 <= repeated.times <= 20, "ten in each minute"


async def test_an_event_of_yesterday_is_counted_and_dropped(post, redis_client):
    call = SampleCall()
    assert (await post(call.ring("ben")))[1] == {"status": "taken"}
    old = call.accepted("ben", at=time.time() - 86_400 - 60)
    for number in range(30):
        assert await post(old, f"w{number + 2}") == (200, {"status": "outdated"})
    received, dropped = read_trail(redis_client.lrange(trail_key("default", call.cid), 0, -1))
    assert (received.type, dropped.what, dropped.type) == ("call.ring", "outdated", "call.accepted")
    unknown = SampleCall()
    await post(unknown.ring(at=time.time() - 86_400 - 60), "w-unknown")
    assert not redis_client.exists(trail_key("default", unknown.cid)), "a call that nobody knows gets no trail"
    assert redis_client.llen(f"rq:queue:{RINGS}") == 1
    recent = SampleCall()
    assert (await post(recent.ring(at=time.time() - 86_400 + 60), "w-recent"))[1] == {"status": "taken"}


async def test_an_unreadable_event_is_kept(post, redis_client):
    assert await post(b"[]") == (200, {"status": "kept", "reason": "it is not a JSON object"})
    key = unreadable_key("default", "it is not a JSON object")
    assert key == "bellhop:unreadable:default:it-is-not-a-json-object"
    assert redis_client.llen(key) == 1
    assert redis_client.ttl(key) > 0


async def test_a_flood_of_one_kind_pushes_only_its_own_kind_out(post, redis_client):
    await post(b'{"type": "call.ring"}')
    for number in range(120):
        await post(b"[%d]" % number, f"w{number}")
    keys = redis_client.keys("bellhop:unreadable:*")
    assert sorted(redis_client.llen(key) for key in keys) == [1, 20]
    latest = json.loads(redis_client.lindex(unreadable_key("default", "it is not a JSON object"), 0))
    assert latest["body"] == "[119]"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_users_token_pushes_no_unreadable_event_out(post, redis_client):
    await post(b"[]")
    signed, _, signature = jwt.encode({"user_id": "ben"}, "secret", "HS256").rpartition(".")
    as_header = {"X-Signature": base64.urlsafe_b64decode(signature + "==").hex()}
    replies = await asyncio.gather(*(post(signed.encode(), f"w{number}", **as_header) for number in range(120)))
    assert {status for status, _ in replies} == {401}
    assert [redis_client.llen(key) for key in redis_client.keys("bellhop:unreadable:*")] == [1]


async def test_an_event_about_a_user_is_applied_once(post):
    assert await post(USER) == (200, {"status": "taken"})
    assert await post(USER, "w2") == (200, {"status": "already"})


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"X-Signature": "00" * 32}, 401, id="wrong signature"),
        pytest.param({"X-Api-Key": "nobody"}, 401, id="unknown app"),
        pytest.param({"Content-Encoding": "br"}, 415, id="unknown encoding"),
    ],
)
async def test_what_is_not_from_stream_is_refused(post, changes, status):
    reply = await post(SampleCall().ring("ben"), **changes)
    assert (reply[0], set(reply[1])) == (status, {"error"})


async def test_a_body_that_must_be_inflated_is_taken(post):
    body = json.dumps(SampleCall().ring("ben")).encode()
    assert await post(gzip.compress(body), **sign(body)) == (200, {"status": "taken"})


async def test_a_mistake_of_ours_is_answered_so_that_stream_repeats(post, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(sys.modules["webhook.sources.stream"], "receive", fail)
    with capture_logs() as logs:
        assert await post(SampleCall().ring("ben")) == (503, {"error": "Internal server error. Try again."})
    (line,) = [line for line in logs if line["event"] == "unexpected_error"]
    assert line["error"] == "ZeroDivisionError"


async def test_every_server_sends_the_same_headers(redis_url):
    async def headers_of(server):
        async with server(redis_url) as post, aiohttp.ClientSession() as session:
            body = json.dumps(SampleCall().ended()).encode()
            own, answered = ("Date", "Server", "Connection", "Keep-Alive"), []
            for head in (sign(body), {}):
                async with session.post(post.url, data=body, headers=head) as answer:
                    answered.append(sorted(pair for pair in answer.headers.items() if pair[0] not in own))
            return answered

    assert await headers_of(serving) == await headers_of(partial(serving, on_loop=False))
    assert await headers_of(serving) == await headers_of(serving_elsewhere)


@pytest.mark.parametrize("on_loop", [True, False])
async def test_without_redis_an_event_is_refused(on_loop):
    async with serving("redis://127.0.0.1:1/0", on_loop=on_loop) as post:
        assert await post(SampleCall().ring("ben")) == (503, {"error": "Redis does not answer. Try again."})


async def test_many_events_at_once_are_all_taken(redis_url, redis_client):
    async with serving(redis_url) as post:
        events = [SampleCall(id=f"call-{number}").ring("ben") for number in range(200)]
        replies = await asyncio.gather(*(post(event, f"w{number}") for number, event in enumerate(events)))
    assert replies == [(200, {"status": "taken"})] * 200
    assert redis_client.llen(f"rq:queue:{RINGS}") == 200


async def test_events_at_once_keep_their_log_lines_apart(redis_url, monkeypatch):
    class Log:
        def info(self, event, **facts):
            seen.append(get_contextvars().get("webhook"))

    seen, before = [], get_contextvars()
    monkeypatch.setattr(sys.modules["webhook.intake.receive"], "log", Log())
    async with serving(redis_url) as post:
        ids = [f"w{number}" for number in range(50)]
        await asyncio.gather(*(post(SampleCall(id=id_).ring("ben"), id_) for id_ in ids))
    assert sorted(seen) == sorted(webhook_digest("default", id_) for id_ in ids)
    assert get_contextvars() == before


@asynccontextmanager
async def waiting_for_redis(own_redis, webhook_id):
    """Post a ring whose script has run, but Redis's answer is kept back; yields all of that."""
    event = SampleCall(id=webhook_id).ring("ben")
    with Proxy(own_redis.port) as proxy:
        async with serving(proxy.url) as post:
            assert (await post(SampleCall().ended(), "w0"))[0] == 200
            late = proxy.delay_answer(f"default:{webhook_id}".encode(), b"taken", 15.0)
            waiting = asyncio.create_task(post(event, webhook_id))
            with redis.Redis(port=own_redis.port) as client:
                while not client.llen(f"rq:queue:{RINGS}"):
                    await asyncio.sleep(0.01)
            yield post, event, waiting, late


async def test_an_event_is_applied_though_its_sender_has_left(own_redis):
    async with waiting_for_redis(own_redis, "gone") as (post, event, leaving, late):
        leaving.cancel()
        await asyncio.wait([leaving])
        late.pass_on.set()
        await asyncio.to_thread(late.happened.wait, 10)
        assert await post(event, "gone") == (200, {"status": "already"})
    assert not [thing for thing in gc.get_objects() if isinstance(thing, LoopGreenlet) and waits(thing)]


def waits(view):
    """Whether a greenlet waits for Redis. A greenlet without work waits elsewhere."""
    return not view.dead and view.gr_frame.f_code is wait_for.__code__


async def test_a_greenlet_does_one_piece_of_work_after_another():
    greenlets, answer, seen = LoopGreenlets(), asyncio.get_running_loop().create_future(), []
    greenlets.run(lambda: seen.append((getcurrent(), wait_for(answer))))
    greenlets.run(lambda: seen.append((getcurrent(), "at once")))
    greenlets.run(lambda: seen.append((getcurrent(), "later")))
    answer.set_result("answer")
    await asyncio.sleep(0)
    (second, _), (third, _), (first, answered) = seen
    assert answered == "answer"
    assert second is third is not first
    with pytest.raises(ZeroDivisionError):
        greenlets.run(lambda: 1 / 0)
    greenlets.run(lambda: seen.append((getcurrent(), "after an error")))
    assert seen[-1][0] is not first, "a greenlet that failed gets no more work"


async def test_one_slow_answer_of_redis_blocks_no_other_webhook(own_redis):
    async with waiting_for_redis(own_redis, "slow") as (post, _, slow, late):
        await asyncio.sleep(2 * LATE_S)
        for number in range(5):
            assert await post(SampleCall().ring("ben"), f"w{number + 1}") == (200, {"status": "taken"})
        assert not late.happened.is_set(), "the others did not wait for it"
        late.pass_on.set()
        assert (await slow)[0] == 200


async def test_callers_share_one_try_to_reach_redis(redis_url):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        full = [socket.socket() for _ in range(4)]
        for client in full:  # the next connection gets no answer at all
            client.setblocking(False)
            client.connect_ex(deaf.getsockname())
        store = Store.from_url(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0", timeout_s=0.5)
        began = time.monotonic()
        failed = await asyncio.gather(*(store.call("PING") for _ in range(100)), return_exceptions=True)
        assert all(isinstance(error, Exception) for error in failed)
        assert time.monotonic() - began < 25, "one try each would take fifty seconds"
        await store.close()
        for client in full:
            client.close()


BLOCKING = [
    *((socket.socket, name) for name in ("connect", "recv", "recv_into", "send", "sendall")),
    (time, "sleep"),
    (builtins, "open"),
]


@pytest.mark.parametrize("moves", [False, True], ids=["one Redis", "with a former one"])
async def test_a_view_on_the_loop_never_blocks(redis_url, redis_client, own_redis, moves, monkeypatch):
    blocked = []

    def watch(owner, name):
        real = getattr(owner, name)

        def call(*args, **options):
            waits = not (args and isinstance(args[0], socket.socket) and args[0].gettimeout() == 0)
            if on_the_loop() and waits:
                blocked.append(name)
            return real(*args, **options)

        monkeypatch.setattr(owner, name, call)

    first, call, former = SampleCall(), SampleCall(), {}
    if moves:
        former = {"redis_former_url": own_redis.url}
        async with serving(own_redis.url) as post:
            assert (await post(call.ring("ben"), "before"))[0] == 200
    async with serving(redis_url, **RECEIPTS, **former) as post:
        await post(first.ring("ben"), "w0")  # what is imported when first used is here now
        for document in ({"receipt": a_receipt(redis_client, first), "event": "declined"}, {"receipt": "x"}):
            await post.report(document)
        for owner, name in BLOCKING:
            watch(owner, name)
        assert (await post(call.ring("ben"), "ring"))[0] == 200
        for event in ("rang", "declined", "not_shown"):
            health = {"os": "android", "fcm_priority": "normal"}
            assert (
                await post.report({"receipt": a_receipt(redis_client, call), "event": event, "health": health}) == 204
            )
        assert await post.report({"receipt": "x"}) == 403
        events = (call.ring("ben"), call.accepted("ben"), call.missed("ben"), call.ended(), USER, b"[]", b"{")
        for number, event in enumerate(events):
            assert (await post(event, f"w{number + 1}"))[0] == 200
        assert (await post(b"{}", "x", **{"X-Signature": "00" * 32}))[0] == 401
    async with serving("redis://127.0.0.1:1/0") as post:
        assert (await post(call.ring("ben")))[0] == 503
    for former in ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0?unknown=1"):
        async with serving(redis_url, redis_former_url=former) as post:
            assert (await post(SampleCall().ring("ben")))[0] == 200
    assert not blocked
