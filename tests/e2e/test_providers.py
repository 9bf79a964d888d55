"""What providers do to a ring, and what is left in the registry afterwards, with real processes."""

import asyncio
import time
import uuid

import pytest
import pytest_asyncio
from redis import Redis

from bellhop.domain.device import Environment, Kind, Provider
from bellhop.queue.worker_status import read_installation_state
from bellhop.sandbox.apple_rules import AppleRefusal
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import registry
from tests.trails import trail_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("installation"), {"MISSED_GRACE_S": "60"}) as installation:
        yield installation


async def user(installation, provider=Provider.APNS):
    user_id, token = uuid.uuid4().hex, uuid.uuid4().hex * 2
    await installation.register(user_id, provider, Kind.VOIP, token)
    return user_id, token


async def until(condition, timeout_s=60):
    give_up = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.02)


async def outcomes(installation, call):
    lines = await trail_of(installation.store, call.cid)
    return [line.outcome for line in lines if line.what in {"attempted", "finished", "skipped"}]


async def ring(installation, user_id, wanted):
    """Ring one user; returns the outcomes on the trail once there are `wanted` of them."""
    call = SampleCall(members=(user_id,))
    await installation.stream.post(call.ring())

    async def enough():
        return len(await outcomes(installation, call)) >= wanted

    await until(enough)
    return await outcomes(installation, call)


async def known(installation, user_id):
    return (await registry.read_users(installation.store, "default", [user_id], "")).devices[user_id]


async def test_a_server_error_is_repeated_and_rings_once(installation):
    user_id, token = await user(installation)
    installation.apple.script(token, AppleReply(500, "InternalServerError"), AppleReply(503, "ServiceUnavailable"))
    assert await ring(installation, user_id, 3) == ["unavailable", "unavailable", "accepted"]
    assert sum(arrival.token == token for arrival in installation.arrivals) == 1


async def test_a_dead_token_is_not_repeated_and_leaves_the_registry(installation):
    user_id, token = await user(installation)
    installation.apple.script(token, AppleReply(410, "Unregistered", timestamp_ms=int((time.time() + 5) * 1000)))
    assert await ring(installation, user_id, 1) == ["token_dead"]

    async def gone():
        return not await known(installation, user_id)

    await until(gone)


async def test_a_token_registered_after_it_died_stays(installation):
    user_id, token = await user(installation)
    installation.apple.script(token, AppleReply(410, "Unregistered", timestamp_ms=int((time.time() - 3600) * 1000)))
    assert await ring(installation, user_id, 1) == ["token_dead"]
    await asyncio.sleep(0.3)
    assert len(await known(installation, user_id)) == 1


async def test_a_token_of_the_other_environment_is_moved_there(installation):
    user_id, token = await user(installation)
    installation.apple.script(token, AppleReply(400, "BadDeviceToken"))
    assert await ring(installation, user_id, 2) == ["bad_token", "accepted"]

    async def moved():
        return (await known(installation, user_id))[0].environment is Environment.SANDBOX

    await until(moved)


async def test_a_token_unknown_to_both_environments_is_kept(installation):
    user_id, token = await user(installation)
    installation.apple.script(token, AppleReply(400, "BadDeviceToken"), AppleReply(400, "BadDeviceToken"))
    assert await ring(installation, user_id, 2) == ["bad_token", "bad_token"]
    assert len(await known(installation, user_id)) == 1


@pytest.mark.parametrize(
    ("reason", "attempts"), [("DeviceTokenNotForTopic", 1), ("PayloadTooLarge", 3), ("BadTopic", 3)]
)
async def test_our_own_mistakes_are_believed_soon_and_remove_nothing(installation, reason, attempts):
    user_id, token = await user(installation)
    installation.apple.script(token, *[AppleReply(400, reason)] * 10)
    assert len(await ring(installation, user_id, attempts)) == attempts
    await asyncio.sleep(1)
    assert len(await known(installation, user_id)) == 1
    assert len([request for request in installation.apple.requests if request.token == token]) == attempts


async def test_revoked_credentials_are_told_within_seconds(installation, monkeypatch):
    users = [(await user(installation))[0] for _ in range(3)]
    refused = AppleRefusal(403, "InvalidProviderToken")
    monkeypatch.setattr(installation.apple, "_credentials_refusal", lambda *_: refused)
    for user_id in users:
        await ring(installation, user_id, 1)
    redis = Redis.from_url(installation.redis.url)

    async def told():
        state = await asyncio.to_thread(read_installation_state, redis)
        return any(channel.refused for channels in state.channels_by_app().values() for channel in channels)

    await until(told)
    monkeypatch.undo()

    async def accepted_again():
        return not await told()

    await until(accepted_again)
    redis.close()


async def test_google_asks_to_wait_longer_than_the_ring_lasts(installation):
    user_id, token = await user(installation, Provider.FCM)
    installation.google.script(token, GoogleReply(429, headers={"Retry-After": "120"}))
    assert await ring(installation, user_id, 2) == ["throttled", "gave_up"]


async def test_without_apple_google_rings_and_apples_ring_comes_later(installation):
    apple_user, apple_token = await user(installation)
    google_user, google_token = await user(installation, Provider.FCM)
    installation.apple.silence()
    await installation.apple.go_dark()
    call = SampleCall(members=(apple_user, google_user))
    await installation.stream.post(call.ring())

    async def google_rang():
        return any(arrival.token == google_token for arrival in installation.arrivals)

    await until(google_rang)
    await installation.apple.start()

    async def apple_rang():
        return any(arrival.token == apple_token for arrival in installation.arrivals)

    await until(apple_rang)

    async def recorded():
        return (await outcomes(installation, call)).count("accepted") == 2

    await until(recorded)
    lines = [line for line in await trail_of(installation.store, call.cid) if line.what == "attempted"]
    first = min(lines, key=lambda line: line.at)
    assert (first.provider, first.outcome) == ("fcm", "accepted"), "an attempt at Apple takes three seconds to fail"
