"""What Google, or the way to it, can do to a push: the right word for it, one request, and nobody else disturbed."""

import asyncio
import contextlib
import json
import re
import socket
import time

import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.google_script import DROP, EMPTY, SILENCE, GoogleReply, fcm_error, html
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.sandbox.tls import Authority
from worker.providers.post_session import SessionPolicy

AT_ONCE_S = 20
"""Far more than an answer takes here, far less than any client's own patience."""
NAME = json.dumps({"name": "projects/bellhop-sandbox/messages/0:1"}).encode()
EXPIRED = fcm_error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED")
NEW_YEAR_2098 = "Wed, 01 Jan 2098 00:00:00 GMT"
QUOTA = {"status": 429, "rpc_status": "RESOURCE_EXHAUSTED", "code": "QUOTA_EXCEEDED"}

CASES = {
    "unregistered": ([fcm_error(404, "NOT_FOUND", code="UNREGISTERED")], Outcome.TOKEN_DEAD),
    "wrong project": ([fcm_error(404, "NOT_FOUND")], Outcome.CREDENTIALS_REFUSED),
    "404 page": ([html(404)], Outcome.CREDENTIALS_REFUSED),
    "sender mismatch": ([fcm_error(403, "PERMISSION_DENIED", code="SENDER_ID_MISMATCH")], Outcome.WRONG_APP),
    "API off": ([fcm_error(403, "PERMISSION_DENIED", reason="SERVICE_DISABLED")], Outcome.CREDENTIALS_REFUSED),
    "no APNs key": ([fcm_error(401, "UNAUTHENTICATED", code="THIRD_PARTY_AUTH_ERROR")], Outcome.NO_APNS_KEY),
    "bad token": ([fcm_error(400, "INVALID_ARGUMENT", field="message.token")], Outcome.BAD_TOKEN),
    "bad payload": ([fcm_error(400, "INVALID_ARGUMENT", field="message.data[0].value")], Outcome.BAD_REQUEST),
    "too big": ([fcm_error(400, "INVALID_ARGUMENT", message="Android message is too big")], Outcome.TOO_LARGE),
    "throttled": ([fcm_error(**QUOTA)], Outcome.THROTTLED),
    "throttled for an hour": ([fcm_error(**QUOTA, retry_after="3600")], Outcome.THROTTLED),
    "throttled until": ([fcm_error(**QUOTA, retry_after=NEW_YEAR_2098)], Outcome.THROTTLED),
    "internal": ([fcm_error(500, "INTERNAL", code="INTERNAL")], Outcome.UNAVAILABLE),
    "internal, wait": ([fcm_error(500, "INTERNAL", retry_after="7")], Outcome.UNAVAILABLE),
    "internal, wait until": ([fcm_error(500, "INTERNAL", retry_after=NEW_YEAR_2098)], Outcome.UNAVAILABLE),
    "unavailable": ([fcm_error(503, "UNAVAILABLE", code="UNAVAILABLE")], Outcome.UNAVAILABLE),
    "502 page": ([html(502)], Outcome.UNAVAILABLE),
    "503 page": ([html(503)], Outcome.UNAVAILABLE),
    "redirect": ([GoogleReply(302, headers={"Location": "/elsewhere"})], Outcome.UNAVAILABLE),
    "empty 200": ([EMPTY], Outcome.UNKNOWN),
    "200 page": ([html(200)], Outcome.UNKNOWN),
    "dropped": ([DROP], Outcome.UNKNOWN),
    "cut off": ([GoogleReply(body=NAME, how="cut")], Outcome.UNKNOWN),
    "in two pieces": ([GoogleReply(body=NAME, how="split")], Outcome.ACCEPTED),
    "access token expired": ([EXPIRED], Outcome.ACCEPTED),
    "access token always expired": ([EXPIRED, EXPIRED], Outcome.CREDENTIALS_REFUSED),
}


@pytest.mark.parametrize(("replies", "outcome"), CASES.values(), ids=CASES.keys())
async def test_an_answer_is_understood_at_once_and_disturbs_nobody(google, fcm, android, replies, outcome):
    await fcm.warm()
    google.script("phone", *replies)
    began = time.monotonic()
    pushes = [android("phone"), *(android(f"neighbour-{n}") for n in range(10))]
    answer, *others = await asyncio.gather(*(fcm.send(push, 30) for push in pushes))
    assert answer.outcome is outcome
    assert google.requests["phone"] == (2 if EXPIRED in replies else 1)
    assert {other.outcome for other in others} == {Outcome.ACCEPTED}
    assert all(len(google.pushes(push.device.token)) == 1 for push in pushes[1:])
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.ACCEPTED
    assert time.monotonic() - began < AT_ONCE_S


async def test_silence_ends_when_the_time_given_is_over(google, fcm, android):
    await fcm.warm()
    google.script("phone", SILENCE)
    began = time.monotonic()
    answer, other = await asyncio.gather(fcm.send(android("phone"), 2), fcm.send(android("neighbour"), 30))
    assert (answer.outcome, answer.reason) == (Outcome.UNKNOWN, "TIMEOUT")
    assert google.requests["phone"] == 1
    assert other.outcome is Outcome.ACCEPTED
    assert (await fcm.send(android("phone"), 30)).outcome is Outcome.ACCEPTED
    assert 2 <= time.monotonic() - began < AT_ONCE_S


async def test_an_idle_connection_that_google_closed_costs_nothing(google, fcm, android):
    google.script("first", GoogleReply(body=NAME, headers={"Connection": "close"}))
    await fcm.send(android("first"), 5)
    assert (await fcm.send(android("second"), 5)).outcome is Outcome.ACCEPTED


async def test_nobody_listening_is_unsent(make_fcm, android):
    answer = await make_fcm(url=f"https://127.0.0.1:{free_port()}").send(android("phone"), 30)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "CONNECT")


@pytest.mark.parametrize(("connect_s", "given_s"), [(2, 60), (60, 2)])
async def test_a_handshake_that_never_ends_is_unsent(make_fcm, android, connect_s, given_s):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        sender = make_fcm(url=url, policy=SessionPolicy(connect_timeout_s=connect_s))
        assert await sender.warm() is None, "the time is not for the access token"
        began = time.monotonic()
        answer = await sender.send(android("phone"), given_s)
        assert time.monotonic() - began < AT_ONCE_S
        assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "CONNECT")
        await sender.close()


async def test_a_stranger_at_googles_address_gets_neither_push_nor_key(google, make_fcm, android, tmp_path):
    (tmp_path / "stranger").mkdir()
    async with GoogleStandIn(tmp_path / "stranger") as stranger:
        for issuer, reason in ((google, "CERTIFICATE"), (stranger, "TOKEN_ENDPOINT")):
            account = issuer.write_service_account(tmp_path / "account.json")
            sender = make_fcm(service_account_file=account, url=stranger.url)
            answer = await sender.send(android("phone"), 30)
            assert answer.outcome is Outcome.UNSENT
            assert re.fullmatch(reason + r" \([a-z -]*certificate[a-z -]*\)", answer.reason)
            await sender.close()
        assert not stranger.requests


async def test_a_push_goes_through_the_proxy_it_is_given(google, make_fcm, android, http_proxy):
    async with http_proxy(b"HTTP/1.1 200 Connected\r\n\r\n") as proxy:
        sender = make_fcm(proxy=proxy.url)
        assert (await sender.send(android("phone"), 30)).outcome is Outcome.ACCEPTED
        await sender.close()
        assert {request.split()[1] for request in proxy.requests} == {f"localhost:{google.port}"}


async def test_a_proxy_that_refuses_leaves_the_push_unsent(google, make_fcm, android, http_proxy):
    async with http_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
        sender = make_fcm(proxy=proxy.url)
        answer = await sender.send(android("phone"), 30)
        assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "TOKEN_ENDPOINT")
        await sender.close()


GARBAGE = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\r\n\r\n",
    "bad status": b"HTTP/1.1 2OO OK\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "bad gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "not ASCII": "HTTP/1.1 200 Ω\r\nX: Ω\r\n\r\n".encode(),
}


@pytest.mark.parametrize("bytes_", GARBAGE.values(), ids=GARBAGE.keys())
async def test_no_bytes_break_it(google, make_fcm, android, tmp_path, bytes_):
    async def answer_garbage(reader, writer):
        with contextlib.suppress(OSError):
            await reader.readuntil(b"}")
            writer.write(bytes_)
            writer.close()
            await writer.wait_closed()

    (tmp_path / "server").mkdir()
    context = Authority(tmp_path / "server").server_context()
    both = tmp_path / "both.pem"
    both.write_bytes(google.ca_file.read_bytes() + (tmp_path / "server" / "ca.pem").read_bytes())
    async with await asyncio.start_server(answer_garbage, "127.0.0.1", ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sender = make_fcm(url=url, ca_file=both)
        answer = await sender.send(android("phone"), 5)
        assert answer.outcome is Outcome.UNKNOWN
        await sender.close()
