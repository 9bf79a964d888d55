"""The fence allows a push that still needs an access token or a connection: a call may end meanwhile."""

import asyncio
import contextlib
import time

import pytest

from bellhop.clock import micros, seconds
from bellhop.domain.device import Kind, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import plan
from bellhop.domain.push import PushKind
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.google_script import fcm_error, slow
from bellhop.sandbox.google_server import TOKEN_ENDPOINT
from bellhop.sandbox.tls import Authority
from bellhop.store import registry
from bellhop.store.keys import call_key
from bellhop.store.steps import run_steps
from tests.factories import a_device, a_round
from worker.delivery.attempt import deliver
from worker.delivery.fence import Fence
from worker.delivery.provider_channel import ProviderChannel
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken

SLOW_S = 2.0


pytestmark = pytest.mark.usefixtures("live_workers")


class Ringing:
    """Ben's phone, that is about to ring."""

    def __init__(self, store, provider, token, app, for_s=30):
        self.store, self.way = store, (provider, app)
        self.device = a_device(provider=provider, kind=Kind.VOIP, token=token, app=app, registered_at=1)
        self.round = a_round(for_s=for_s, callers=("sara",))
        self.fence = Fence(store, "w-1", PushKind.RING, self.round)

    async def by(self, sender, fence=None):
        await run_steps(registry.register("default", self.device), self.store)
        (push,) = plan(PushKind.RING, self.round, {"ben": [self.device]}, micros(time.time())).pushes
        return await deliver(push, {self.way: ProviderChannel(sender, "the channel")}, fence or self.fence)

    async def cancelled_meanwhile(self, sender):
        """Ring, while the caller hangs up after half a second."""
        ring = asyncio.create_task(self.by(sender))
        await asyncio.sleep(SLOW_S / 4)
        await self.store.call("HSET", call_key("default", "default:1"), "x:sara", self.round.started_at + 1)
        return (await ring).outcome


@pytest.fixture
def android(store):
    return lambda **more: Ringing(store, Provider.FCM, "phone", "bellhop-sandbox", **more)


async def test_a_call_cancelled_during_a_token_fetch_rings_no_phone(android, google, fcm):
    google.script(TOKEN_ENDPOINT, slow(SLOW_S))
    assert await android().cancelled_meanwhile(fcm) is Outcome.CANCELLED
    assert not google.pushes("phone")


async def test_a_call_cancelled_during_a_token_renewal_rings_no_phone(android, google, fcm):
    await fcm.warm()
    google.script("phone", fcm_error(401, "UNAUTHENTICATED", reason="ACCESS_TOKEN_EXPIRED"))
    google.script(TOKEN_ENDPOINT, slow(SLOW_S))
    assert await android().cancelled_meanwhile(fcm) is Outcome.CANCELLED
    assert not google.pushes("phone")


async def test_a_slow_access_token_costs_no_ring(android, google, fcm):
    google.script(TOKEN_ENDPOINT, slow(SLOW_S))
    assert (await android().by(fcm)).outcome is Outcome.ACCEPTED
    assert len(google.pushes("phone")) == 1


@contextlib.asynccontextmanager
async def slow_way(port, connecting_s):
    """The port of a way to a stand-in on which connecting takes this long."""
    ways = set()

    async def pipe(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        ways.add(asyncio.current_task())
        with contextlib.closing(writer):
            await asyncio.sleep(connecting_s)
            back, forth = await asyncio.open_connection("localhost", port)
            with contextlib.closing(forth):
                await asyncio.gather(pipe(reader, forth), pipe(back, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


@pytest.fixture
async def distant_apple(tmp_path):
    """Apple's stand-in, and a sender that needs two seconds to connect to it."""
    private, public = new_signing_key()
    async with (
        AppleStandIn(Authority(tmp_path), public_key=public) as apple,
        slow_way(apple.port, SLOW_S) as port,
    ):
        url = f"https://localhost:{port}"
        token = ProviderToken(private, "KEY1234567", "TEAM123456")
        sender = ApnsSender("calls", token=token, url=url, sandbox_url=url, ca_file=apple.ca_file)
        yield apple, sender
        await sender.close()


async def test_a_call_cancelled_during_connecting_rings_no_phone(store, distant_apple):
    apple, sender = distant_apple
    ring = Ringing(store, Provider.APNS, "ab" * 32, "calls")
    assert await ring.cancelled_meanwhile(sender) is Outcome.CANCELLED
    assert not [request for request in apple.received if request.accepted]


async def test_a_distant_apple_costs_no_ring(store, distant_apple):
    apple, sender = distant_apple
    assert (await Ringing(store, Provider.APNS, "ab" * 32, "calls").by(sender)).outcome is Outcome.ACCEPTED
    assert len([request for request in apple.received if request.accepted]) == 1


async def test_a_worker_frozen_behind_the_fence_rings_no_phone_late(android, google, fcm):
    await fcm.warm()
    ring = android(for_s=3)

    class StandingStill:
        """The process is frozen right behind the fence's first word, until the ring is over."""

        asked = 0

        async def admit(self, push, attempt_s):
            word = await ring.fence.admit(push, attempt_s)
            self.asked += 1
            if self.asked == 1:
                time.sleep(max(0.0, seconds(ring.round.deadline) - time.time()) + 0.1)
            return word

        async def write(self, record):
            await ring.fence.write(record)

    assert (await ring.by(fcm, StandingStill())).outcome is Outcome.GAVE_UP
    assert not google.pushes("phone")


@pytest.fixture
async def distant_google(google, make_fcm):
    """A sender on whose way to Google connecting takes longer than an admission is good for."""
    async with slow_way(google.port, SLOW_S / 4) as port:
        sender = make_fcm(url=f"https://localhost:{port}")
        yield sender
        await sender.close()


async def test_a_distant_google_costs_no_ring(android, google, distant_google):
    """The connection of the attempt that was too late is kept for the next one."""
    delivered = await asyncio.wait_for(android().by(distant_google), 10)
    assert delivered.outcome is Outcome.ACCEPTED
    assert len(google.pushes("phone")) == 1


async def test_a_call_cancelled_while_connecting_to_google_is_silent(android, google, distant_google):
    await distant_google.warm()
    ring = android()
    ringing = asyncio.create_task(ring.by(distant_google))
    await asyncio.sleep(SLOW_S / 8)
    await ring.store.call("HSET", call_key("default", "default:1"), "x:sara", ring.round.started_at + 1)
    assert (await ringing).outcome is Outcome.CANCELLED
    assert not google.pushes("phone")
