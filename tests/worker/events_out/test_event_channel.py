"""One event to one endpoint: signed, only to allowed addresses, within limits, and what each answer leads to."""

import asyncio
import base64
import json
import re
import socket
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from bellhop.clock import MICROS_PER_SECOND, Micros, Seconds
from bellhop.dead_letters import OutboxEntry
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.public_address import parse_networks
from bellhop.queue.job_payloads import OutboxRef
from bellhop.sandbox.event_receiver import EventReceiver, EventReply
from bellhop.sandbox.tls import Authority
from tests.factories import a_round
from worker.announcements.outbox import Refused, Sent, TryAgain
from worker.events_out.endpoint_health import FAILURES_TO_PAUSE, GONE_S, EndpointHealth
from worker.events_out.endpoint_session import EndpointSession, RequestPolicy
from worker.events_out.event_channel import BUSY, KEPT_S, LONGEST_RETRY_AFTER_S, WAITING, EventChannel
from worker.events_out.event_signer import EventSigner
from worker.status import _endpoint_status

OLD, NEW = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
PAGE = Path(__file__).parents[3] / "docs" / "events.md"
CID = a_round("ben").cid
HOME = parse_networks(("127.0.0.0/8",))
REF = OutboxRef(destination="backend", tenant="default", subject="default:1")
FEW = RequestPolicy(in_flight=2)
IMPATIENT = RequestPolicy(total_s=Seconds(0.1))


def now():
    return Micros(time.time_ns() // 1000)


def an_event(ago_s=0, user="ben"):
    round_ = a_round("ben")
    return (
        about_ring(AnnouncementType.RINGING, round_, user, now() - int(ago_s * MICROS_PER_SECOND)).document().encode()
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory):
    async with EventReceiver([NEW], authority=Authority(tmp_path_factory.mktemp("tls"))) as backend:
        yield backend


@asynccontextmanager
async def opened(backend, url="", *, allowed=HOME, policy=FEW, secrets=(OLD, NEW)):
    backend.received.clear()
    backend.replies.clear()
    backend.reply, backend.most_under_way = EventReply(), 0
    buried = []

    async def keep_dead_letter(letter):
        buried.append(letter)

    session = EndpointSession(url or backend.url, allowed, policy, backend._authority.ca_file)
    channel = EventChannel("backend", session, EventSigner(secrets), keep_dead_letter, now)
    try:
        yield SimpleNamespace(channel=channel, send=lambda text: channel.send(REF, text), buried=buried)
    finally:
        await session.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_event_is_signed_with_every_secret(backend):
    async with opened(backend) as out:
        event = an_event()
        assert await out.send(event) == Sent()
    (received,) = backend.received
    assert received.problem == "" and received.body.encode() == event
    assert received.headers["webhook-id"] == received.event["id"]
    assert received.headers["Content-Type"] == "application/json"
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(received.body, received.headers)["type"] == "ring.ringing"
    assert "cookie" not in {name.lower() for name in received.headers}


async def test_a_mistake_of_ours_loses_no_event(backend, monkeypatch):
    event = an_event()
    async with opened(backend) as out:
        monkeypatch.setattr(EventSigner, "headers", lambda *_: 1 / 0)
        assert await out.send(event) == Refused("ZeroDivisionError")
        ((endpoint, _, _, document, reason, _),) = out.buried
    assert (endpoint, document.encode(), reason) == ("backend", event, "ZeroDivisionError")


async def test_the_python_of_the_page_reads_an_event_once(backend, monkeypatch):
    monkeypatch.setenv("EVENT_SECRET", OLD)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    seen, handled = set(), []
    page = {"is_new": lambda id_: not (id_ in seen or seen.add(id_)), "handle": handled.append}
    exec(code, page)
    async with opened(backend) as out:
        await out.send(an_event())
    (received,) = backend.received
    body = received.body.encode()
    assert [page["receive"](body, received.headers) for _ in range(2)] == [204, 204] and len(handled) == 1
    assert page["receive"](body + b" ", received.headers) == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_a_private_address_gets_nothing(backend, host):
    async with opened(backend, f"https://{host}:{backend.port}/", allowed=()) as out:
        result = await out.send(an_event())
    assert isinstance(result, TryAgain) and "is not public" in result.reason
    assert backend.received == []


async def test_a_name_that_moves_to_a_private_address_gets_nothing(backend, monkeypatch):
    """The name is public when it is looked up first, and private later."""
    places, threads = ["127.0.0.1", "10.255.255.1"], []

    def lookup(host, port, *_, **__):
        threads.append(threading.current_thread().name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (places.pop(0), port))]

    async with opened(backend, f"https://api.example.com:{backend.port}/", allowed=HOME) as out:
        monkeypatch.setattr("worker.events_out.endpoint_session.socket.getaddrinfo", lookup)
        assert "certificate" in (await out.send(an_event())).reason.lower()  # it got as far as TLS
        out.channel.session._session.connector.clear_dns_cache()
        assert (await out.send(an_event())).reason == "the address 10.255.255.1 is not public, or not allowed"
    assert backend.received == []
    # A lookup that hangs must not occupy the threads that look Google's name up.
    assert {name.startswith("endpoint-name") for name in threads} == {True}


async def test_without_tls_only_allowed_networks_get_events(backend):
    async with EventReceiver([NEW]) as plain:
        async with opened(backend, plain.url) as out:
            assert await out.send(an_event()) == Sent()
        async with opened(backend, "http://1.1.1.1/") as out:
            assert "not allowed" in (await out.send(an_event())).reason
        assert len(plain.received) == 1


async def test_a_redirect_is_not_followed(backend):
    async with opened(backend) as out:
        for status in (301, 302, 303, 307, 308):
            backend.replies[CID].append(EventReply(status, {"Location": backend.url}))
            assert await out.send(an_event()) == TryAgain(f"HTTP {status}", is_away=False)
            out.channel.health = EndpointHealth()
    assert len(backend.received) == 5


@pytest.mark.parametrize(
    ("reply", "after_s"),
    [
        (EventReply(500), 0),
        (EventReply(400), 0),
        (EventReply(429, {"Retry-After": "7"}), 7),
        (EventReply(503, {"Retry-After": "99999999"}), LONGEST_RETRY_AFTER_S),
        (EventReply(500, {"Retry-After": "7"}), 0),
        (EventReply(410), GONE_S),
    ],
)
async def test_any_other_answer_is_tried_again(backend, reply, after_s):
    async with opened(backend) as out:
        backend.replies[CID].append(reply)
        assert await out.send(an_event()) == TryAgain(
            f"HTTP {reply.status}", Seconds(after_s), is_away=reply.status == 410
        )
        later = await out.send(an_event())
        assert (later.after_s == pytest.approx(after_s, abs=5)) if after_s else later == Sent()
        assert len(backend.received) == (1 if after_s else 2)
        assert out.buried == []


async def test_an_event_that_is_always_refused_holds_up_no_other(backend):
    async with opened(backend) as out:
        backend.replies[CID] += [EventReply(400)] * 2 * FAILURES_TO_PAUSE
        refused = an_event()
        for _ in range(2 * FAILURES_TO_PAUSE):
            assert await out.send(refused) == TryAgain("HTTP 400", is_away=False)
        assert out.channel.health.reason == "HTTP 400"
        assert await out.send(an_event()) == Sent()


async def test_an_endpoint_that_refuses_every_event_is_reported(backend):
    """Otherwise nobody would learn of it for a day. It is not paused."""
    refused = [EventReply(status) for status in (400, 422, 400, 500, 413, 415)]
    async with opened(backend) as out:
        health = out.channel.health
        for _ in range(2):
            backend.replies[CID] += [*refused, EventReply(400)]
            results = [await out.send(an_event(user=f"user-{number}")) for number in range(len(refused))]
            assert [result.is_away for result in results] == [False] * 5 + [True]
            assert await out.send(an_event()) == TryAgain("HTTP 400", is_away=True)
            assert (health.takes_nothing, health.away) == ("HTTP 400", False)
            assert _endpoint_status(out.channel).away == "HTTP 400"
            assert await out.send(an_event()) == Sent()
            assert health.takes_nothing == _endpoint_status(out.channel).away == ""


async def test_a_long_or_endless_answer_is_cut_off(backend):
    async with opened(backend) as out:
        backend.reply = EventReply(200, body=b"x" * 2_000_000)
        assert await out.send(an_event()) == Sent()
        bomb = EventReply(200, {"Content-Encoding": "gzip"}, b"not gzip at all")
        backend.reply = bomb
        assert await out.send(an_event()) == Sent()


async def test_a_slow_endpoint_holds_few_requests(backend):
    async with opened(backend) as out:
        backend.reply = EventReply(delay_s=Seconds(0.03))
        # An event that is old, and finds no place, is no dead letter: it was not tried.
        results = await asyncio.gather(*(out.send(an_event(KEPT_S + 1)) for _ in range(WAITING + 10)))
        assert out.buried == []
        assert backend.most_under_way == FEW.in_flight
        assert results.count(BUSY) == 10 - FEW.in_flight and results.count(Sent()) == WAITING + 2


async def test_an_endpoint_without_an_answer_is_tried_rarely(backend):
    async with opened(backend, policy=IMPATIENT) as out:
        backend.reply = EventReply(delay_s=Seconds(1))
        for number in range(1, FAILURES_TO_PAUSE + 1):
            away = number == FAILURES_TO_PAUSE
            assert await out.send(an_event()) == TryAgain("no answer within 0.1 s", is_away=away)
        assert out.channel.health.away
        waiting = await out.send(an_event())
        assert waiting.after_s > 1 and len(backend.received) <= FAILURES_TO_PAUSE
        out.channel.health.paused_until, backend.reply = 0.0, EventReply()
        while await out.send(an_event()) != Sent():  # on a busy machine, more than one try is needed
            out.channel.health.paused_until = 0.0
        assert not out.channel.health.away


async def test_after_a_day_an_event_becomes_a_dead_letter(backend):
    async with opened(backend) as out:
        backend.reply = EventReply(500)
        old = an_event(ago_s=KEPT_S + 1)
        with capture_logs() as logs:
            assert await out.send(old) == Refused("HTTP 500")
        (letter,) = out.buried
        assert letter.document.encode() == old and letter.reason == "HTTP 500" and letter.subject == "default:1"
        assert [entry["event"] for entry in logs] == ["event_dead_lettered"]
        assert "localhost" not in str(logs) and NEW not in str(logs)
        again = OutboxEntry(letter.document, now()).written().encode()
        assert await out.send(again) == TryAgain("HTTP 500", is_away=False)
        backend.reply = EventReply()
        assert await out.send(again) == Sent()
    assert backend.received[-1].body.encode() == old and backend.received[-1].problem == ""


async def test_reasons_name_no_url(backend):
    reasons = []
    for url in (
        "https://no-such-name.invalid/secret-path",
        "https://localhost:1/secret-path",
        f"https://127.0.0.1:{backend.port}/",
    ):
        async with opened(backend, url) as out:
            result = await out.send(an_event())
            reasons.append(getattr(result, "reason", ""))
    assert reasons[0] == "the name has no address" and "secret-path" not in json.dumps(reasons)
