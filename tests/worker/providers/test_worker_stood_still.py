"""A worker that was stopped and continued finds the provider's answer in the socket, and believes it.

The stand-ins run in a thread of their own, so that they answer while the worker's event loop stands still.
"""

import asyncio
import threading
import time

import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.sandbox.tls import Authority
from tests.factories import APNS_TOKEN, a_device, a_push, an_iphone
from tests.waiting import come_true
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken
from worker.providers.fcm.fcm_sender import FcmSender
from worker.providers.http2.connection_policy import ConnectionPolicy

LIMIT_S, STOPPED_S = 2.0, 3.0
LONG_S, PATIENT_S = 3.0, 10.0
POLICY = ConnectionPolicy(ping_timeout_s=LIMIT_S, quiet_s=0.0)
"""Each request takes a PING along, and its answer is in the socket too."""


@pytest.fixture
def elsewhere():
    """Run coroutines in the event loop of another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def apple(tmp_path, elsewhere):
    private, public = new_signing_key()
    stand_in = AppleStandIn(Authority(tmp_path), public_key=public)
    elsewhere(stand_in.start())
    token = ProviderToken(private, "KEY1234567", "TEAM123456")
    yield (
        stand_in,
        lambda: ApnsSender("calls", token=token, url=stand_in.url, ca_file=stand_in.ca_file, policy=POLICY),
        a_push(an_iphone(token=APNS_TOKEN), payload={"aps": {}}),
        lambda: len(stand_in.requests),
    )
    elsewhere(stand_in.stop())


@pytest.fixture
def google(tmp_path, elsewhere):
    stand_in = GoogleStandIn(tmp_path)
    elsewhere(stand_in.start())
    account = stand_in.write_service_account(tmp_path / "account.json")
    yield (
        stand_in,
        lambda: FcmSender(account, stand_in.url, stand_in.ca_file),
        a_push(a_device(app="bellhop-sandbox"), payload={"type": "call.ring"}),
        stand_in.requests.total,
    )
    elsewhere(stand_in.stop())


def loops():
    uvloop = pytest.importorskip("uvloop", reason="an extra")
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def on_the_wire(sending, requests):
    """Begin to send a push; returns when the stand-in has it."""
    before, task = requests(), asyncio.create_task(sending)
    await come_true(lambda: requests() > before)
    return task


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("provider", ["apple", "google"])
def test_what_has_arrived_is_read_before_a_late_timeout(request, elsewhere, provider, loop):
    stand_in, make_sender, push, requests = request.getfixturevalue(provider)

    async def ring_and_stand_still():
        sender = make_sender()
        await sender.warm()
        await sender.send(push, PATIENT_S)
        stand_in.answer_delay_s = 0.3
        ringing = await on_the_wire(sender.send(push, LIMIT_S), requests)
        elsewhere(asyncio.sleep(STOPPED_S))  # this thread waits, and the stand-in answers
        result = await ringing
        again = await sender.send(push, PATIENT_S)
        await sender.close()
        return result.outcome, again.outcome

    with asyncio.Runner(loop_factory=loops()[loop]) as runner:
        assert runner.run(ring_and_stand_still()) == (Outcome.ACCEPTED, Outcome.ACCEPTED)


@pytest.mark.parametrize("provider", ["apple", "google"])
def test_without_an_answer_it_is_still_a_timeout(request, provider):
    stand_in, make_sender, push, requests = request.getfixturevalue(provider)

    async def ring_and_stand_still():
        sender = make_sender()
        await sender.send(push, PATIENT_S)
        stand_in.answer_delay_s = 4 * LONG_S
        ringing = await on_the_wire(sender.send(push, LONG_S), requests)
        time.sleep(LONG_S + 1)
        began = time.monotonic()
        result = await ringing
        assert time.monotonic() - began < LONG_S
        await sender.close()
        return result.outcome

    assert asyncio.run(ring_and_stand_still()) is Outcome.UNKNOWN
