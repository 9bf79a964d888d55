"""Apple is away for a second: connections are cut, and new ones refused. Then every phone rings soon."""

import asyncio

import pytest

from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.tls import Authority
from tests.factories import OpenFence, a_push, an_iphone
from worker.delivery.attempt import deliver
from worker.delivery.provider_channel import ProviderChannel
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken

RINGS, A_RING_EVERY_S = 150, 0.02
TICK_S = 0.01
SOON_TICKS = 80
"""Half a second, and what this loop needs for the pushes. Ticks are counted, not seconds: a busy machine slows both."""


@pytest.fixture
async def apple(tmp_path):
    private, public = new_signing_key()
    async with AppleStandIn(Authority(tmp_path), public_key=public, answer_delay_s=0.1) as apple:
        token = ProviderToken(private, "KEY1234567", "TEAM123456")
        sender = ApnsSender("calls", token=token, url=apple.url, sandbox_url=apple.url, ca_file=apple.ca_file)
        yield apple, sender
        await sender.close()


@pytest.mark.parametrize("away_s", [1.1, 4.0])
async def test_the_last_ring_leaves_soon_after_apple_is_back(apple, away_s):
    apple, sender = apple
    channel = ProviderChannel(sender, "apns calls")
    left, ticks = {}, []

    async def tick():
        while True:
            await asyncio.sleep(TICK_S)
            ticks.append(TICK_S)

    async def ring(number):
        await asyncio.sleep(number * A_RING_EVERY_S)
        push = a_push(an_iphone(f"user-{number}", token=f"{number:064x}"), payload={"aps": {}})
        return (await deliver(push, {(Provider.APNS, "calls"): channel}, OpenFence())).outcome

    apple.on_push = lambda request: left.setdefault(request.token, len(ticks))
    rings = [asyncio.create_task(ring(number)) for number in range(RINGS)]
    await asyncio.sleep(0.5)
    await apple.stop()
    await asyncio.sleep(away_s)
    await apple.start()
    ticking = asyncio.create_task(tick())
    behind = [number for number in range(RINGS) if number * A_RING_EVERY_S < 0.5 + away_s]
    assert {await done for done in rings} == {Outcome.ACCEPTED}
    ticking.cancel()
    assert max(left[f"{number:064x}"] for number in behind) < SOON_TICKS
