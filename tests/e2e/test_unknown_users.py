"""A ring for users of whom nothing is known fetches their devices from Stream, in time, within a budget."""

import asyncio
import json
import secrets
import time

import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import API_KEY, SECRET, Installation
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_S = 20
PER_S = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with StreamApiStandIn(API_KEY, SECRET, per_minute=10_000) as stream:
        settings = {"STREAM_API_URL": stream.url, "STREAM_FETCHES_PER_S": str(PER_S)}
        async with Installation(tmp_path_factory.mktemp("installation"), settings, workers=2) as installation:
            installation.lists = stream
            yield installation


@pytest_asyncio.fixture(loop_scope="module")
async def unknown_user(installation, samples):
    """A user whom only Stream knows, after a moment in which the budget is whole again."""
    await asyncio.sleep(1.1)
    user = f"stranger-{secrets.token_hex(4)}"
    devices = json.loads((samples / "rest.list_devices.json").read_bytes())["devices"]
    installation.lists.devices[user] = [
        device | {"user_id": user, "id": token}
        for device, token in zip(
            devices, (secrets.token_hex(32), secrets.token_hex(32), f"{user}-fcm", f"{user}-old"), strict=True
        )
    ]
    return user


def asked(installation, *users):
    return [user for _, user, _ in installation.lists.asked if user in users]


def tokens(installation, call):
    return {arrival.token for arrival in installation.arrivals if arrival.cid == call.cid}


async def until(look, installation):
    give_up = time.monotonic() + SOON_S
    while not look():
        assert time.monotonic() < give_up, installation.log("worker-1")[-2000:] + installation.log("worker-2")[-2000:]
        await asyncio.sleep(0.02)


async def test_a_stranger_is_rung_on_the_phones_that_stream_knows_of(installation, unknown_user):
    voip, _, android, _ = (device["id"] for device in installation.lists.devices[unknown_user])
    first, second = SampleCall(members=(unknown_user,)), SampleCall(members=(unknown_user,))
    await installation.stream.post(first.ring())
    await until(lambda: tokens(installation, first) == {voip, android}, installation)
    await installation.stream.post(second.ring())
    await until(lambda: tokens(installation, second) == {voip, android}, installation)
    assert asked(installation, unknown_user) == [unknown_user], "from then on the registry knows them"


async def test_a_slow_stream_delays_no_known_user(installation, unknown_user):
    known = f"known-{unknown_user}"
    await installation.register(known, Provider.FCM, Kind.VOIP, f"{known}-fcm")
    installation.lists.pause_s = 60
    try:
        call = SampleCall(members=(unknown_user, known))
        await installation.stream.post(call.ring())
        await until(lambda: tokens(installation, call) == {f"{known}-fcm"}, installation)
    finally:
        installation.lists.pause_s = 0
    await until(lambda: len(tokens(installation, call)) == 3, installation)  # Stream is asked again


async def test_a_user_without_devices_at_stream_is_looked_up_once(installation, unknown_user):
    nobody = f"nobody-{unknown_user}"
    for _ in range(3):
        call = SampleCall(members=(nobody,))
        await installation.stream.post(call.ring())
        await skipped(installation, call, nobody)
    assert asked(installation, nobody) == [nobody]


async def test_a_stranger_rings_though_stream_fails_once(installation, unknown_user):
    voip, _, android, _ = (device["id"] for device in installation.lists.devices[unknown_user])
    installation.lists.broken = [500]
    call = SampleCall(members=(unknown_user,))
    await installation.stream.post(call.ring())
    await until(lambda: tokens(installation, call) == {voip, android}, installation)


async def test_other_users_ring_when_stream_refuses_the_lookup(installation, unknown_user):
    known = f"known-{unknown_user}"
    await installation.register(known, Provider.FCM, Kind.VOIP, f"{known}-fcm")
    installation.lists.broken = [403]
    call = SampleCall(members=(unknown_user, known))
    await installation.stream.post(call.ring())
    await skipped(installation, call, unknown_user)
    await until(lambda: tokens(installation, call) == {f"{known}-fcm"}, installation)


async def test_many_unknown_users_are_looked_up_within_the_budget(installation, unknown_user):
    crowd = [f"crowd-{number}-{unknown_user}" for number in range(40)]
    began = time.time()
    call = SampleCall(members=tuple(crowd))
    await installation.stream.post(call.ring())
    await skipped(installation, call, *crowd)
    took_s = time.time() - began
    assert 1 <= len(asked(installation, *crowd)) <= PER_S * (took_s + 1) + 1


async def test_a_notification_fetches_nothing(installation, unknown_user):
    call = SampleCall(members=(unknown_user,))
    await installation.stream.post(call.notification())
    await skipped(installation, call, unknown_user)
    assert asked(installation, unknown_user) == []


async def skipped(installation, call, *users):
    """Wait until the trail says that these users had no device."""
    give_up = time.monotonic() + SOON_S
    while time.monotonic() < give_up:
        lines = [line for line in await trail_of(installation.store, call.cid) if line.what == "skipped"]
        if {line.user for line in lines if line.outcome == "no_devices"} >= set(users):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(await trail_of(installation.store, call.cid))
