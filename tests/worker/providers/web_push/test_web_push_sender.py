"""The sender against a push service that decrypts and checks everything."""

import asyncio
import time
from types import SimpleNamespace

import jwt
import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import plan
from bellhop.domain.push import NOT_URGENT, QUIET, PushKind
from bellhop.domain.web_push import topic
from bellhop.sandbox.google_script import DROP, SILENCE, GoogleReply
from bellhop.sandbox.http2_push_service import Http2PushService
from bellhop.sandbox.push_service import PushServiceStandIn
from bellhop.sandbox.tls import Authority
from tests.factories import PUBLIC_KEY_OF_1, a_browser, a_push, a_round
from worker.delivery.service_channels import ServiceChannels
from worker.providers.post_session import SessionPolicy
from worker.providers.web_push import vapid
from worker.providers.web_push.http1_posts import LONGEST_ANSWER
from worker.providers.web_push.vapid import MOST_AUDIENCES, VapidHeaders
from worker.providers.web_push.web_push_sender import WebPushSender

KEY_OF_1 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
KEY_OF_2 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI"
LOCAL = ("127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=[Http2PushService, PushServiceStandIn], ids=["http2", "http1"])
async def service(request, authority):
    async with request.param(authority) as service:
        yield service


@pytest.fixture
async def make_sender(service):
    senders = []

    def make(key=KEY_OF_1, public=PUBLIC_KEY_OF_1, subject="mailto:ops@example.org", **options):
        defaults = {"services": [service.host], "allowed_networks": LOCAL, "ca_file": service.ca_file}
        senders.append(WebPushSender(VapidHeaders(key, public, subject), **(defaults | options)))
        return senders[-1]

    yield make
    for sender in senders:
        await sender.close()


def device_of(browser, **changes):
    given = browser.subscription
    return a_browser(token=given["endpoint"], **given["keys"], **changes)


def a_push_to(browser, kind=PushKind.RING, **changes):
    return a_push(device_of(browser), kind, **{"payload": {"type": f"call.{kind}"}} | changes)


async def test_every_kind_of_push_is_read_and_checked(service, make_sender):
    browser, sender, round_ = service.subscribe(PUBLIC_KEY_OF_1), make_sender(), a_round()
    for kind in set(PushKind) - {PushKind.ALERT_RING}:  # only iPhones ring by alerts
        (push,) = plan(kind, round_, {"ben": [device_of(browser)]}, round_.started_at, ticket_secret=b"s" * 16).pushes
        assert (await sender.send(push, 5)).outcome is Outcome.ACCEPTED
        got = service.pushes(browser)[-1]
        assert got.data == push.payload
        assert got.headers["Topic"] == topic(round_.tenant, round_.cid)
        assert got.headers["Urgency"] == ("normal" if kind in QUIET else "high")
        assert got.headers["Content-Type"] == "application/octet-stream"
        left_s = 86_400 if kind is PushKind.MISSED else 30
        assert left_s - 5 <= int(got.headers["TTL"]) <= left_s
    assert service.refused == []
    assert len(service.clients) == 1, "one connection stays open"


async def test_the_largest_payload_fits_and_a_larger_one_is_not_sent(service, make_sender):
    browser, sender = service.subscribe(PUBLIC_KEY_OF_1), make_sender()
    fits = {"a": "x" * (3_993 - len('{"a":""}'))}
    assert (await sender.send(a_push_to(browser, payload=fits), 5)).outcome is Outcome.ACCEPTED
    assert len(service.received[-1].body) == 4_096
    result = await sender.send(a_push_to(browser, payload={"a": fits["a"] + "x"}), 5)
    assert (result.outcome, service.requests[browser.endpoint]) == (Outcome.TOO_LARGE, 1)


async def test_a_ring_that_ends_soon_still_has_a_second_to_live(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    await make_sender().send(a_push_to(browser, left_s=0.2, options=NOT_URGENT), 5)
    assert (service.received[-1].headers["TTL"], service.received[-1].headers["Urgency"]) == ("1", "normal")


async def test_a_subscription_made_with_another_key_is_told(service, make_sender):
    browser = service.subscribe("another key")
    result = await make_sender().send(a_push_to(browser), 5)
    assert (result.outcome, result.status, result.reason) == (Outcome.WRONG_APP, 403, "KEY_MISMATCH")


async def test_a_key_that_does_not_sign_what_it_says_is_refused(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    result = await make_sender(key=KEY_OF_2).send(a_push_to(browser), 5)
    assert (result.outcome, result.status) == (Outcome.CREDENTIALS_REFUSED, 403)


async def test_keys_that_cannot_encrypt_have_an_outcome(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    push = a_push(device_of(browser).model_copy(update={"p256dh": "AAAA"}), payload={"type": "call.ring"})
    result = await make_sender().send(push, 5)
    assert (result.outcome, result.reason, service.requests) == (Outcome.BAD_REQUEST, "ValueError", {})


async def test_pushes_go_through_a_proxy(service, make_sender, http_proxy):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    async with http_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        sender = make_sender(proxy=proxy.url, allowed_networks=())
        assert (await sender.send(a_push_to(browser), 5)).outcome is Outcome.ACCEPTED
        assert {request.split(" HTTP")[0] for request in proxy.requests} == {f"CONNECT {service.host}"}
        await sender.close()


async def test_an_ended_subscription_is_a_dead_token(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    service.unsubscribe(browser)
    assert (await make_sender().send(a_push_to(browser), 5)).outcome is Outcome.TOKEN_DEAD


async def test_what_is_no_answer_has_an_outcome_too(service, make_sender):
    browser, sender = service.subscribe(PUBLIC_KEY_OF_1), make_sender()
    long = GoogleReply(503, b"x" * (LONGEST_ANSWER + 1), {"Retry-After": "3"})
    redirect = GoogleReply(307, b"", {"Location": f"https://{service.host}/push/elsewhere"})
    service.script(browser, SILENCE, DROP, long, redirect)
    results = [await sender.send(a_push_to(browser), limit_s) for limit_s in (2, 5, 5, 5)]
    assert [(result.outcome, result.reason) for result in results] == [
        (Outcome.UNKNOWN, "TIMEOUT"),
        (Outcome.UNKNOWN, "CONNECTION_LOST"),
        (Outcome.UNAVAILABLE, "HTTP_503"),
        (Outcome.BAD_REQUEST, "HTTP_307"),
    ]
    assert results[2].retry_after_s == 3
    assert sum(service.requests.values()) == 4, "no redirect is followed"
    assert (await sender.send(a_push_to(browser), 5)).outcome is Outcome.ACCEPTED


async def test_an_address_that_is_not_public_gets_nothing(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    device = device_of(browser).model_copy(update={"token": f"https://127.0.0.1:{service.port}/push/1"})
    strict = make_sender(services=[service.host, f"127.0.0.1:{service.port}"], allowed_networks=())
    for push in (a_push_to(browser), a_push(device, payload={"type": "call.ring"})):
        result = await strict.send(push, 5)
        assert (result.outcome, result.reason) == (Outcome.UNSENT, "ADDRESS_NOT_PUBLIC")
    assert service.clients == set()
    assert getattr(service, "connections", []) == [], "no handshake either"


async def test_a_host_that_is_not_allowed_any_more_gets_nothing(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    result = await make_sender(services=["fcm.googleapis.com"]).send(a_push_to(browser), 5)
    assert (result.outcome, result.reason) == (Outcome.BAD_REQUEST, "UNKNOWN_PUSH_SERVICE")
    assert not service.requests


async def test_a_certificate_that_is_not_trusted_is_told(service, make_sender):
    result = await make_sender(ca_file=None).send(a_push_to(service.subscribe(PUBLIC_KEY_OF_1)), 5)
    assert (result.outcome, result.reason.split()[0]) == (Outcome.UNSENT, "CERTIFICATE")


async def test_a_push_that_comes_too_late_to_the_wire_is_not_sent(service, make_sender):
    browser = service.subscribe(PUBLIC_KEY_OF_1)
    result = await make_sender().send(a_push_to(browser), 5, start_s=-1)
    assert (result.outcome, service.requests) == (Outcome.DELAYED, {})


async def test_closing_waits_for_what_is_in_flight(service, make_sender):
    browser, sender = service.subscribe(PUBLIC_KEY_OF_1), make_sender()
    service.script(browser, GoogleReply(how="normal", after_s=0.2))
    sending = asyncio.create_task(sender.send(a_push_to(browser), 5))
    while not service.requests:
        await asyncio.sleep(0.01)
    await sender.close()
    assert (await sending).outcome is Outcome.ACCEPTED
    assert (await sender.send(a_push_to(browser), 5)).reason == "CLOSED"


async def test_many_pushes_share_the_allowed_connections(service, make_sender):
    sender = make_sender(policy=SessionPolicy(connections=4))
    browsers = [service.subscribe(PUBLIC_KEY_OF_1) for _ in range(40)]
    results = await asyncio.gather(*(sender.send(a_push_to(browser), 10) for browser in browsers))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len(service.clients) <= sender.max_in_flight == 4


async def test_a_token_is_signed_once_for_each_push_service():
    vapid = VapidHeaders(KEY_OF_1, PUBLIC_KEY_OF_1, "mailto:ops@example.org")
    google = vapid.of("https://fcm.googleapis.com/fcm/send/1")
    assert vapid.of("https://fcm.googleapis.com:443/wp/2") == google
    assert vapid.of("https://web.push.apple.com/3") != google
    for number in range(MOST_AUDIENCES + 1):
        vapid._headers[f"https://{number}.example.org"] = vapid._headers["https://fcm.googleapis.com"]
    vapid.of("https://new.example.org/1")
    assert len(vapid._headers) <= MOST_AUDIENCES + 3


async def test_a_token_from_the_future_is_signed_again(monkeypatch):
    """A clock was days ahead and was repaired: push services refuse a token that ends later than in a day."""
    clock = SimpleNamespace(time=lambda: time.time() + 2 * 86_400)
    monkeypatch.setattr(vapid, "time", clock)
    headers, endpoint = VapidHeaders(KEY_OF_1, PUBLIC_KEY_OF_1, "mailto:ops@example.org"), "https://push.example.org/1"
    headers.of(endpoint)
    monkeypatch.setattr(clock, "time", time.time)
    token = headers.of(endpoint).removeprefix("vapid t=").partition(",")[0]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] <= time.time() + 86_400


async def test_a_push_service_that_is_away_delays_no_other(service, make_sender, authority):
    """Each push service has places and a circuit breaker of its own."""
    async with PushServiceStandIn(authority) as other:
        sender = make_sender(services=[service.host, other.host])
        channels = ServiceChannels(sender, "webpush web", 2)
        silent, quick = service.subscribe(PUBLIC_KEY_OF_1), other.subscribe(PUBLIC_KEY_OF_1)
        service.script(silent, *[GoogleReply(500)] * 20)
        for _ in range(20):
            push = a_push_to(silent)
            await channels.of(push.device).attempt(push, 5, 5)
        assert channels.blocked
        assert channels.trouble.outcome is Outcome.UNAVAILABLE
        waiting = a_push_to(silent)
        assert (await channels.of(waiting.device).attempt(waiting, 5, 5)).outcome is Outcome.CIRCUIT_OPEN
        push = a_push_to(quick)
        assert (await channels.of(push.device).attempt(push, 5, 5)).outcome is Outcome.ACCEPTED
        assert (channels.in_flight, channels.refused) == (0, "")


async def test_a_foreign_subscription_does_not_stop_the_others(service, make_sender):
    """Any user can register a subscription that was made with another key."""
    sender = make_sender()
    channels = ServiceChannels(sender, "webpush web", 2)
    foreign, own = service.subscribe("another key"), service.subscribe(PUBLIC_KEY_OF_1)
    for _ in range(25):
        push = a_push_to(foreign)
        assert (await channels.of(push.device).attempt(push, 5, 5)).outcome is Outcome.WRONG_APP
    push = a_push_to(own)
    assert (await channels.of(push.device).attempt(push, 5, 5)).outcome is Outcome.ACCEPTED
