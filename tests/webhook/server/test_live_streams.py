"""GET /v1/calls/<cid>/live: who may read, what a stream sends, how it ends, and what hostile clients cannot do."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import jwt
import pytest
from redis import Redis
from structlog.testing import capture_logs

from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.store import subscription
from bellhop.store.blocking_client import run_script
from bellhop.store.call_scripts import EventToTake, take_event
from bellhop.store.keys import live_channel, round_key, user_key
from bellhop.telemetry.web_processes import OWN_ENTRY
from tests.factories import a_round, web_settings
from tests.waiting import come_true
from webhook.app import create_app
from webhook.auth import LEEWAY_S
from webhook.live_reader import offer_streams
from webhook.security_headers import HEADERS
from webhook.server import http_connection, live_stream, request_server
from webhook.server.request_server import RequestServer
from webhook.server.serving_process import LIMITS, live_streams
from webhook.server.webhook_bodies import WebhookBodies

CID = "default:1"
PATH = f"/v1/calls/{CID}/live"
ROUND = a_round("ben", "jane", session_id="s-1")
SERVER = {"server": True}
SECRET = "an api secret that is long enough"


def token(claims):
    return jwt.encode(claims, SECRET, "HS256")


def live_settings(redis_url, **changes):
    return web_settings(redis_url, **{"live": True, "stream_api_secret": [SECRET]} | changes)


def request(claims=SERVER, path=PATH, method="GET", version="1.1", more=""):
    authorization = f"Authorization: Bearer {token(claims)}\r\n" if claims else ""
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{authorization}{more}\r\n".encode()


@asynccontextmanager
async def serving(redis_url, connections=LIMITS.connections, **changes):
    settings = live_settings(redis_url, **changes)
    app, limits = create_app(settings), replace(LIMITS, connections=connections)
    streams = live_streams(settings, limits)
    bodies = WebhookBodies(app.extensions["context"])
    server = RequestServer(app, limits, 2, lambda _: False, bodies, streams)
    server.streams = streams
    keeping_time = asyncio.ensure_future(server.keep_time())
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    server.address = listening.sockets[0].getsockname()
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        keeping_time.cancel()


class Client:
    """A client that reads one response."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.text = b""

    async def close(self):
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def head(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines if line)
        return int(status.split()[1])

    async def problem(self):
        body = await self.reader.readexactly(int(self.headers["Content-Length"]))
        return json.loads(body)["type"].removeprefix("urn:bellhop:problem:")

    async def chunk(self):
        """Return the next chunk; empty at the end of the response."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def event(self, kind=None):
        """Return the next event's fields; the next of this kind, if one is given."""
        while True:
            while b"\n\n" not in self.text:
                data = await asyncio.wait_for(self.chunk(), 20)
                assert data, "the stream has ended"
                self.text += data
            text, _, self.text = self.text.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line)
            if "event" in fields and kind in (None, fields["event"]):
                return fields | {"data": json.loads(fields["data"])}


async def connect(server, asked=None):
    client = Client(*await asyncio.open_connection(*server.address[:2]))
    if asked:
        client.writer.write(asked)
    return client


@asynccontextmanager
async def watching(server, claims=SERVER, **how):
    """A stream that has begun, and its snapshot."""
    client = await connect(server, request(claims, **how))
    try:
        assert await client.head() == 200
        yield client, (await client.event("snapshot"))["data"]["announcements"]
    finally:
        await client.close()


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch):
    """Look at the time limits often, so that no test waits long."""
    monkeypatch.setattr(request_server, "CHECK_S", 0.05)


@pytest.fixture
def ring(redis_client):
    """Ring ben and jane."""
    begin_ring(redis_client)


def begin_ring(redis_client):
    event = EventToTake(
        tenant="default", cid=CID, webhook="w-1", now=ROUND.started_at, line="", repeated_line="", trail_ttl_s=60,
        settle_at=ROUND.deadline, round=ROUND,
    )  # fmt: skip
    run_script(redis_client, take_event(event))


def tell(redis_client, type_, user="ben", **data):
    """Announce something as lib/announce.lua does: record it in the round and publish it, in one step."""
    announcement = about_ring(type_, ROUND, user, Micros(time.time_ns() // 1000), **data)
    pipeline = redis_client.pipeline()
    why = [announcement.because] if announcement.because else []
    fields = {announcement.told_field: announcement.at, **dict(why)}
    pipeline.hset(round_key("default", CID, ROUND.started_at), mapping=fields)
    pipeline.publish(live_channel("default", CID), announcement.document())
    pipeline.execute()
    return json.loads(announcement.document())


@pytest.fixture(scope="module")
def app(redis_server):
    return create_app(live_settings(redis_server.url))


@pytest.mark.parametrize(
    ("claims", "cid", "refusal"),
    [
        (None, CID, (401, "no-token")),
        ({"user_id": "ben", "exp": 1}, CID, (401, "expired-token")),
        ({"user_id": "leo"}, CID, (401, "revoked-token")),
        ({"user_id": "zoe"}, CID, (403, "not-in-call")),
        ({"user_id": "ben", "call_cids": [CID]}, CID, (403, "limited-token")),
        ({"user_id": "ben"}, "default:2", (404, "no-such-call")),
        (SERVER, "default:2", (404, "no-such-call")),
        (SERVER, CID, (200, None)),
    ],
)
def test_who_may_not_read_gets_a_problem(app, redis_client, ring, claims, cid, refusal):
    redis_client.hset(user_key("default", "leo"), "revoked", 1)
    environ = {"HTTP_AUTHORIZATION": token(claims) if claims else ""}
    offer_streams(environ)
    answer = app.test_client().get(f"/v1/calls/{cid}/live", environ_overrides=environ)
    problem = answer.json["type"].removeprefix("urn:bellhop:problem:") if answer.is_json else None
    assert (answer.status_code, problem) == refusal


@pytest.mark.parametrize(("live", "problem"), [(True, "live-not-served"), (False, "live-off")])
def test_without_streams_a_sentence_says_why(redis_url, ring, live, problem):
    client = create_app(live_settings(redis_url, live=live)).test_client()
    answer = client.get(PATH, headers={"Authorization": token(SERVER)})
    assert (answer.status_code, answer.json["type"]) == (501, f"urn:bellhop:problem:{problem}")
    assert answer.json["title"]


@pytest.mark.parametrize("claims", [SERVER, {"user_id": "sara"}, {"user_id": "jane"}])
async def test_a_stream_shows_what_is_known_and_then_what_happens(redis_url, redis_client, ring, claims):
    known = tell(redis_client, AnnouncementType.REACHED)
    async with serving(redis_url) as server, watching(server, claims) as (client, announcements):
        assert announcements == [known]
        assert client.headers.items() >= HEADERS.items()
        assert client.headers["Content-Type"].startswith("text/event-stream")
        assert (client.headers["X-Accel-Buffering"], client.headers["Connection"]) == ("no", "close")
        told = tell(redis_client, AnnouncementType.RINGING)
        event = await client.event()
        assert (event["event"], event["id"], event["data"]) == ("ring.ringing", told["id"], told)
    async with serving(redis_url) as server, watching(server, claims, more=f"Last-Event-ID: {told['id']}\r\n") as again:
        assert again[1] == [known, told]


async def test_a_user_reads_no_reasons_and_no_private_events(redis_url, redis_client, ring):
    async with (
        serving(redis_url) as server,
        watching(server, {"user_id": "sara"}) as (user, _),
        watching(server) as (backend, _),
    ):
        tell(redis_client, AnnouncementType.UNREACHABLE, "ben", reason="caller_blocked")
        tell(redis_client, AnnouncementType.MISSED_NOTICE, "ben", by="email")
        tell(redis_client, AnnouncementType.UNREACHABLE, "jane", reason="no_devices")
        assert [(await backend.event())["data"]["data"].get("reason") for _ in range(3)] == [
            "caller_blocked", None, "no_devices",
        ]  # fmt: skip
        seen = [(await user.event())["data"]["data"] for _ in range(2)]
        assert [data["user_id"] for data in seen] == ["ben", "jane"]
        assert not any({"reason", "by"} & data.keys() for data in seen)
    async with serving(redis_url) as server, watching(server, {"user_id": "sara"}) as (_, announcements):
        assert {document["type"] for document in announcements} == {"ring.unreachable"}
        assert not any({"reason", "by"} & document["data"].keys() for document in announcements)
    async with serving(redis_url) as server, watching(server) as (_, announcements):
        why = [document["data"].get("reason") or document["data"].get("by") for document in announcements]
        assert why == ["caller_blocked", "email", "no_devices"]


async def test_foreign_messages_on_the_channel_are_dropped(redis_url, redis_client, ring):
    async with serving(redis_url) as server, watching(server) as (client, _):
        forms = ('{"id":"a\\nb","type":"ring.ringing","data":{}}', '{"id":"a","type":"ring.ringing","data":[]}')
        for message in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, *forms):
            redis_client.publish(live_channel("default", CID), message)
        told = tell(redis_client, AnnouncementType.RINGING)
        assert (await client.event())["data"] == told


async def test_streams_of_a_process_share_one_subscription(redis_url, redis_client, ring):
    async with serving(redis_url) as server:
        for _ in range(2):
            async with watching(server), watching(server, {"user_id": "ben"}):
                assert redis_client.pubsub_numsub(live_channel("default", CID)) == [
                    (live_channel("default", CID).encode(), 1)
                ]
                assert len([c for c in redis_client.client_list() if int(c["sub"])]) == 1
            await come_true(lambda: not redis_client.pubsub_channels())
            assert server.streams.open_streams == 0


async def test_metrics_show_the_open_streams(redis_url, redis_client, ring):
    async with serving(redis_url, metrics_token="of-the-metrics-page") as server, watching(server), watching(server):
        OWN_ENTRY.renew()
        OWN_ENTRY.write_now(redis_client)
        ask = "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer of-the-metrics-page\r\n\r\n"
        client = await connect(server, ask.encode())
        assert await client.head() == 200
        page = await client.reader.readexactly(int(client.headers["Content-Length"]))
        assert b"\nbellhop_live_streams 2.0\n" in page
        await client.close()


async def test_a_lost_connection_to_redis_ends_in_a_new_snapshot(redis_url, redis_client, ring):
    async with serving(redis_url) as server, watching(server) as (client, _):
        redis_client.client_kill_filter(_type="pubsub")
        missed = tell(redis_client, AnnouncementType.REACHED)
        assert (await client.event())["data"]["announcements"] == [missed]
        told = tell(redis_client, AnnouncementType.RINGING)
        assert (await client.event())["data"] == told


@pytest.mark.parametrize("how", ["killed", "hung"])
async def test_a_redis_that_is_away_leaves_the_streams_open(own_redis, monkeypatch, how):
    monkeypatch.setattr(subscription, "PING_S", 0.2)
    async with serving(own_redis.url) as server:
        with Redis.from_url(own_redis.url) as redis_client:
            begin_ring(redis_client)
            async with watching(server) as (client, _):
                if how == "killed":
                    own_redis.stop(signal.SIGKILL)
                    own_redis.start()
                else:
                    os.kill(own_redis.pid, signal.SIGSTOP)
                    await come_true(lambda: not server.streams.listens)
                    os.kill(own_redis.pid, signal.SIGCONT)
                missed = tell(redis_client, AnnouncementType.REACHED)
                while (announcements := (await client.event("snapshot"))["data"]["announcements"]) == []:
                    pass  # Redis was back before this was announced
                assert announcements == [missed]


@pytest.mark.parametrize(
    ("bounds", "claims", "refusal"),
    [
        ({"live_streams_per_user": 2}, {"user_id": "ben"}, (429, "too-many-streams")),
        ({"live_streams": 5}, SERVER, (429, "too-many-streams")),
        ({"live_streams_per_call": 2}, SERVER, (429, "too-many-streams")),
        ({"live_streams": 2}, {"user_id": "ben"}, (503, "streams-full")),
        ({"connections": 11}, {"user_id": "ben"}, (503, "streams-full")),
    ],
)
async def test_only_some_streams_may_be_open(redis_url, ring, bounds, claims, refusal):
    async with serving(redis_url, **bounds) as server:
        async with watching(server, claims), watching(server, claims):
            client = await connect(server, request(claims))
            assert (await client.head(), await client.problem()) == refusal
            assert client.headers["Retry-After"] == "5"
            assert client.headers.items() >= HEADERS.items()
            client.writer.write(request(None, "/v1/openapi.json"))  # the connection goes on
            assert await client.head() == 200
            await client.close()
        await come_true(lambda: server.streams.open_streams == 0)
        async with watching(server, claims):
            pass


async def test_a_refused_stream_names_the_client_behind_a_proxy(redis_url, ring):
    ben = {"user_id": "ben"}
    async with (
        serving(redis_url, live_streams_per_user=1, web_trusted_hops=1) as server,
        watching(server, ben),
    ):
        with capture_logs() as lines:
            client = await connect(server, request(ben, more="X-Forwarded-For: 203.0.113.9\r\n"))
            assert await client.head() == 429
        await client.close()
    assert [line["address"] for line in lines if line["event"] == "request_refused"] == ["203.0.113.9"]


async def test_streams_take_no_connection_from_others(redis_url, ring):
    async with (
        serving(redis_url, connections=8) as server,
        watching(server, {"user_id": "ben"}),
        watching(server, {"user_id": "ben"}),
    ):
        others = [await connect(server) for _ in range(8)]
        for other in others:
            other.writer.write(request(None, "/healthz"))
            assert await other.head() == 200
            await other.close()
        assert server.streams.open_streams == 2


@pytest.mark.parametrize("ends", ["its time", "its token"])
async def test_a_stream_ends_and_tells_the_client_to_come_back(redis_url, ring, ends):
    async with serving(redis_url, live_stream_s=1 if ends == "its time" else 600) as server:
        # The token has expired, but is valid for 4 more seconds.
        claims = SERVER | ({"exp": time.time() - LEEWAY_S + 4} if ends == "its token" else {})
        client = await connect(server, request(claims))
        assert await client.head() == 200
        assert (await client.event("reconnect"))["data"]["reason"] == "time_over"
        assert await client.chunk() == b""
        assert await client.reader.read() == b""
        await client.close()


async def test_a_stopping_server_ends_its_streams(redis_url, ring):
    async with serving(redis_url) as server, watching(server) as (client, _), watching(server) as (deaf, _):
        deaf.reader._transport.pause_reading()
        stopping = asyncio.ensure_future(server.stop())
        event = await client.event()
        assert (event["event"], event["data"]["reason"]) == ("reconnect", "stopping")
        assert await client.chunk() == b""
        await asyncio.wait_for(stopping, 9)


async def test_a_quiet_stream_gets_comments(redis_url, ring, monkeypatch):
    monkeypatch.setattr(live_stream, "BEAT_S", 0.2)
    async with serving(redis_url) as server, watching(server) as (client, _):
        assert [await client.chunk() for _ in range(2)] == [b":\n\n"] * 2


async def test_other_methods_open_no_stream(redis_url, ring):
    async with serving(redis_url) as server:
        head = await connect(server, request(method="HEAD"))
        assert await head.head() == 200
        assert head.headers["Transfer-Encoding"] == "chunked"
        assert await head.reader.read() == b""
        await head.close()
        post = await connect(server, request(method="POST", more="Content-Length: 0\r\n"))
        assert (await post.head(), await post.problem()) == (405, "method-not-allowed")
        assert post.headers["Allow"] == "GET, HEAD, OPTIONS"
        await post.close()
        assert server.streams.open_streams == 0


async def test_http_1_0_gets_no_chunks(redis_url, redis_client, ring):
    async with serving(redis_url) as server:
        client = await connect(server, request(version="1.0"))
        assert await client.head() == 200
        assert "Transfer-Encoding" not in client.headers
        assert (await client.reader.readuntil(b"\n\n")).startswith(b"retry: ")
        assert (await client.reader.readuntil(b"\n\n")).startswith(b"event: snapshot\n")
        await client.close()


async def test_what_follows_the_request_is_not_read(redis_url, redis_client, ring):
    following = request() + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20 + b"POST / HTTP/1.1\r\nContent-Le"
    async with serving(redis_url) as server:
        client = await connect(server, following)
        assert await client.head() == 200
        await client.event("snapshot")
        client.writer.write(b"x" * 20_000_000)
        told = tell(redis_client, AnnouncementType.RINGING)
        assert (await client.event())["data"] == told
        assert client.writer.transport.get_write_buffer_size() > 0
        client.writer.transport.abort()
        await come_true(lambda: tell(redis_client, AnnouncementType.RINGING) and server.streams.open_streams == 0)


@pytest.mark.parametrize("leaves", ["closes", "sends no more", "left before the answer"])
async def test_a_client_that_leaves_frees_its_stream(redis_url, ring, leaves):
    async with serving(redis_url) as server:
        if leaves == "left before the answer":
            app, has_left = server._app, threading.Event()
            server._app = lambda *request: has_left.wait(30) and app(*request)
            client = await connect(server, request())
            client.writer.write_eof()
            await come_true(lambda: [connection._client_sends for connection in server._connections] == [False])
            has_left.set()
            assert await client.reader.read() == b""
            await client.close()
        else:
            async with watching(server) as (client, _):
                assert server.streams.open_streams == 1
                client.writer.close() if leaves == "closes" else client.writer.write_eof()
                await come_true(lambda: server.streams.open_streams == 0)
        assert not server._connections


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_the_kernel_keeps_little_and_notices_who_vanished(redis_url, ring):
    async with serving(redis_url) as server, watching(server):
        [connection] = server._connections
        kernel = connection._transport.get_extra_info("socket")
        assert kernel.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * http_connection.UNREAD_BYTES
        assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == http_connection.GONE_MS


async def test_a_client_that_never_reads_is_dropped(redis_url, redis_client, ring, monkeypatch):
    monkeypatch.setattr(http_connection, "MAX_BEHIND", 1_000)
    async with (
        serving(redis_url) as server,
        watching(server) as (reading, _),
        watching(server, {"user_id": "ben"}) as (deaf, _),
    ):
        deaf.reader._transport.pause_reading()
        told = 0
        while server.streams.open_streams == 2:
            tell(redis_client, AnnouncementType.ENDED, standing="x" * 10_000)
            await reading.event()
            told += 1
        assert told < 1_000
