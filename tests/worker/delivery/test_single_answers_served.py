"""Each error of Apple and Google, answered once by their stand-ins among healthy rings: it costs no ring."""

import asyncio
import time

import pytest

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.sandbox.tls import Authority
from bench.soak.codes import APPLE, GOOGLE
from bench.soak.faults import once
from tests.factories import OpenFence, a_device, a_push, an_iphone
from worker.delivery.attempt import deliver
from worker.delivery.provider_channel import ProviderChannel
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken
from worker.providers.fcm.fcm_sender import FcmSender

RINGS, A_RING_EVERY_S = 20, 0.01
SOON_S = 5.0
"""Google asks for pauses of 10 and 60 s after some errors."""
PROJECT = "bellhop-sandbox"


@pytest.fixture
async def apple(tmp_path):
    private, public = new_signing_key()
    async with AppleStandIn(Authority(tmp_path), public_key=public) as apple:
        token = ProviderToken(private, "KEY1234567", "TEAM123456")
        sender = ApnsSender("calls", token=token, url=apple.url, sandbox_url=apple.url, ca_file=apple.ca_file)
        yield apple, sender
        await sender.close()


@pytest.fixture
async def google(tmp_path):
    async with GoogleStandIn(tmp_path, PROJECT) as google:
        account = google.write_service_account(tmp_path / "account.json")
        sender = FcmSender(account, google.url, google.ca_file)
        yield google, sender
        await sender.close()


def iphone(number):
    return a_push(an_iphone(f"user-{number}", token=f"{number:064x}"), payload={"aps": {}})


def android(number):
    return a_push(a_device(f"user-{number}", token=f"phone:{number}", app=PROJECT), payload={"type": "call.ring"})


async def ring_all(sender, push_of):
    """Ring every phone; returns the outcome of each, and how long it took."""
    channel = ProviderChannel(sender, "the channel")

    async def ring(number):
        await asyncio.sleep(number * A_RING_EVERY_S)
        push, began = push_of(number), time.monotonic()
        channels = {(push.device.provider, push.device.app): channel}
        return (await deliver(push, channels, OpenFence())).outcome, time.monotonic() - began

    return await asyncio.gather(*map(ring, range(RINGS)))


async def rung_beside(code, stand_in, sender, push_of):
    """Let one request get this error, and ring everybody."""
    requests = 0
    choose = once(code)

    def interfere(_):
        nonlocal requests
        requests += 1
        return chosen.reply if requests > RINGS // 2 and (chosen := choose("")) else None

    stand_in.interfere = interfere
    try:
        return await ring_all(sender, push_of)
    finally:
        stand_in.interfere = None


def see_that_none_is_lost(code, done):
    outcomes = [outcome for outcome, _ in done]
    assert outcomes.count(Outcome.ACCEPTED) >= RINGS - code.about_token, f"{code.name}: {outcomes}"
    wait_s = float(code.name.rpartition("Retry-After ")[2]) if "Retry-After" in code.name else 0.0
    assert max(took_s for _, took_s in done) < wait_s + SOON_S, code.name


@pytest.mark.parametrize("code", APPLE, ids=lambda code: code.name)
async def test_an_error_of_apple_costs_no_ring(apple, code):
    see_that_none_is_lost(code, await rung_beside(code, *apple, iphone))


@pytest.mark.parametrize("code", GOOGLE, ids=lambda code: code.name)
async def test_an_error_of_google_costs_no_ring(google, code):
    see_that_none_is_lost(code, await rung_beside(code, *google, android))
