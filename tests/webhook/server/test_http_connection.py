"""The HTTP server of the web process: what it reads, in which order it answers, and what it refuses."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from tests.waiting import come_true
from webhook.loop_greenlet import wait_for
from webhook.security_headers import HEADERS
from webhook.server.arrivals import Arrivals, RequestLimits
from webhook.server.http_connection import MAX_AHEAD
from webhook.server.request_server import RequestServer

LIMITS = RequestLimits(
    head_bytes=16_384, head_s=60.0, body_bytes=1000, body_s=60.0, arriving=10, total_bytes=10_000, connections=10
)


def echo(environ, start_response):
    """Answer with the path, the query and the body."""
    body = environ["wsgi.input"].read()
    seen = " ".join([environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], body.decode()])
    start_response("200 OK", [("X-Forwarded", environ.get("HTTP_X_FORWARDED_FOR", ""))])
    return [seen.encode()]


@asynccontextmanager
async def serving(app=echo, on_loop=True, **limits):
    server = RequestServer(app, replace(LIMITS, **limits), 2, lambda _: on_loop)
    keeping_time = asyncio.ensure_future(server.keep_time())
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()
    finally:
        keeping_time.cancel()
        listening.close()
        await server.stop()


async def ask(address, *parts, ends=True):
    """Send parts one after the other; returns everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    if ends:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def bodies(answer):
    """The bodies of the responses, each of which has one line."""
    return [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]]


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("on_loop", [True, False])
async def test_requests_that_are_sent_ahead_are_answered_in_turn(on_loop):
    async with serving(on_loop=on_loop) as address:
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(10))
        assert bodies(await ask(address, requests)) == [b"GET /%d  " % number for number in range(10)]


async def test_a_request_byte_by_byte_is_read():
    request = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nT: t\r\n\r\n"
    async with serving() as address:
        assert bodies(await ask(address, *(bytes([byte]) for byte in request))) == [b"POST /a b c=d one"]


async def test_only_some_requests_may_be_sent_ahead():
    async with serving() as address:
        answer = await ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        assert len(bodies(answer)) == MAX_AHEAD + 1
        assert answer.count(b"Connection: close") == 1


async def test_requests_sent_ahead_do_not_nest():
    """Each began inside the one before, until Python's recursion limit."""

    def patient(environ, start_response):
        wait_for(asyncio.sleep(0))
        return echo(environ, start_response)

    async with serving(patient) as address:
        reader, writer = await asyncio.open_connection(*address)
        request = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 3000 + b"\r\n\r\n"
        for _ in range(500):
            writer.write(request)
        writer.write_eof()
        assert statuses(await asyncio.wait_for(reader.read(), 20)) == [200] * 500
        writer.close()


async def test_a_header_that_http_cannot_carry_leaves_nobody_waiting():
    def odd(environ, start_response):
        start_response("200 OK", [("X-Name", "Ĵane")])
        return [b"here"]

    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving(odd) as address:
        answer = await asyncio.wait_for(ask(address, request), 20)
    assert bodies(answer) == [b"here"]
    assert b"X-Name: ?ane\r\n" in answer


async def test_options_of_the_whole_server_are_answered():
    async with serving() as address:
        answer = await ask(address, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        refused = await ask(address, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (statuses(answer), statuses(refused)) == ([204], [400])
    assert b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n" in answer


SMUGGLED = {
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc",
    "a length below zero": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nabc",
    "a huge length": b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
    "chunks twice": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "an encoding below the chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
    "a folded header": b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "lines without CR": b"POST / HTTP/1.1\nContent-Length: 3\n\nabc",
    "a lone CR": b"POST / HTTP/1.1\r\nA: b\rContent-Length: 3\r\n\r\nabc",
    "a zero byte": b"POST / HTTP/1.1\r\nContent-Length: \x003\r\n\r\nabc",
    "a chunk size in C": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk without an end": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "an extension without CR": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown version": b"GET / HTTP/3.7\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "no path": b"GET example.com HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_", SMUGGLED.values(), ids=SMUGGLED)
async def test_what_two_readers_could_read_differently_is_refused(request_):
    async with serving() as address:
        answer = await ask(
            address, b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n" + request_ + b"GET /evil HTTP/1.1\r\n\r\n"
        )
        first, refused = statuses(answer)
        assert (first, bodies(answer)[0]) == (200, b"GET /first  ")
        assert refused in {400, 501, 505}
        assert b"evil" not in answer


async def test_a_client_cannot_write_a_header_of_a_proxy():
    async with serving() as address:
        answer = await ask(address, b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 192.0.2.1\r\n\r\n")
        assert b"192.0.2.1" not in answer


async def test_an_upgrade_is_ignored_and_its_body_is_read():
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    async with serving() as address:
        assert bodies(await ask(address, head + b"abc" + head + b"def")) == [b"POST /  abc", b"POST /  def"]


async def test_a_target_with_a_host_is_read():
    async with serving() as address:
        assert bodies(await ask(address, b"GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\n")) == [b"GET /a b "]


async def test_a_client_that_waits_for_100_continue_gets_it():
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        writer.write_eof()
        assert bodies(await reader.read()) == [b"POST /  abc"]
        writer.close()


async def test_http_1_0_knows_no_100_continue():
    """RFC 9110, section 10.1.1: such a client would take it for the answer."""
    head = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving() as address:
        assert statuses(await ask(address, head, b"abc")) == [200]


async def test_head_gets_the_length_and_no_body():
    async with serving() as address:
        answer = await ask(address, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n")
        assert b"Content-Length: 8\r\n" in answer


async def test_http_1_0_gets_one_answer():
    async with serving() as address:
        answer = await ask(address, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, ends=False)
        assert (len(bodies(answer)), answer.count(b"Connection: close")) == (1, 1)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 400_000,
    ],
    ids=["target", "header", "many headers", "a header without an end"],
)
async def test_a_large_head_is_refused(request_):
    async with serving() as address:
        answer = await ask(address, request_)
        assert statuses(answer) == [431]
        assert all(f"{name}: {value}\r\n".encode() in answer for name, value in HEADERS.items())


@pytest.mark.parametrize("after", [b"3\r\none\r\n0\r\nT: ", b"3\r\none\r\n0\r\n", b"3;"])
async def test_what_surrounds_chunks_is_bounded(after):
    line = b"T: t\r\n" if after.endswith(b"\r\n") else b"a" * 6
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as address:
        assert statuses(await ask(address, head + after + line * 60_000, ends=False)) == [431]


async def test_a_body_in_many_small_chunks_is_kept_in_one_piece():
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.input"].read())
        return echo(environ, start_response)

    async with serving(app, body_bytes=100_000, total_bytes=100_000) as address:
        chunks = b"2\r\nab\r\n" * 50_000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert statuses(await ask(address, head + chunks + b"0\r\n\r\n")) == [200]
    assert seen == [b"ab" * 50_000]


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
    ],
    ids=["with a length", "in chunks"],
)
async def test_a_too_large_body_is_cut_and_the_connection_closed(request_):
    async with serving() as address:
        answer = await ask(address, request_ + b"GET /evil HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [200]
        assert b"Connection: close" in answer
        assert b"evil" not in answer


async def test_a_body_that_takes_too_long_gets_a_408():
    async with serving(body_s=0.2) as address:
        answer = await ask(address, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", ends=False)
        assert statuses(answer) == [408]


@pytest.mark.parametrize("opening", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_connection_that_stays_silent_is_closed(opening):
    is_whole = opening.endswith(b"\r\n\r\n")
    async with serving(head_s=2.0) as address:  # what is sent must arrive within that time
        assert len(statuses(await ask(address, opening, ends=False))) == is_whole


async def test_with_too_many_connections_the_oldest_is_closed():
    async with serving(connections=3) as address:
        clients = [await asyncio.open_connection(*address) for _ in range(5)]
        for reader, _ in clients[:2]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        for reader, writer in clients[2:]:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for _, writer in clients:
            writer.close()


async def test_with_too_many_connections_a_request_in_work_stays():
    async def answer_later():
        await go_on.wait()

    def patient(environ, start_response):
        begun.append(environ)
        wait_for(answer_later())
        return echo(environ, start_response)

    begun, go_on = [], asyncio.Event()
    async with serving(patient, connections=3) as address:
        in_work = [await asyncio.open_connection(*address) for _ in range(2)]
        for _, writer in in_work:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await come_true(lambda: len(begun) == 2)
        silent = [await asyncio.open_connection(*address) for _ in range(20)]
        for reader, _ in silent[:-1]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        go_on.set()
        for reader, writer in in_work:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        for _, writer in silent:
            writer.transport.abort()


async def test_an_error_of_the_server_is_answered_as_temporary(monkeypatch):
    """A sender repeats nothing that was answered with 400."""

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Arrivals, "begin", broken)
    async with serving() as address:
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        answer = await ask(address, request)
        assert statuses(answer) == [503]
        assert b"Connection: close" in answer
        assert statuses(await ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]


async def test_an_answer_without_a_body_names_no_length():
    def nothing(environ, start_response):
        start_response("204 NO CONTENT", [])
        return []

    async with serving(nothing) as address:
        answer = await ask(address, b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert statuses(answer) == [204]
        assert b"content-length" not in answer.lower()


async def test_an_error_of_the_application_is_answered():
    def broken(environ, start_response):
        raise ZeroDivisionError

    async with serving(broken) as address:
        answer = await ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        assert statuses(answer) == [503, 503]


async def test_a_client_that_reads_nothing_is_not_served_forever():
    def large(environ, start_response):
        served.append(1)
        start_response("200 OK", [])
        return [b"x" * 1_000_000]

    served = []
    async with serving(large) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * MAX_AHEAD)
        await asyncio.sleep(0.5)
        assert len(served) < MAX_AHEAD
        writer.transport.abort()
