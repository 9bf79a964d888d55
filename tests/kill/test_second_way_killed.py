"""The worker that waits for a phone's receipt is killed: the phone is rung a second time all the same, once."""

import asyncio
import secrets
import signal

import pytest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.phones import note_receipt
from tests.trails import trail_of
from tests.waiting import come_true

SETTINGS = {
    **{"RECEIPT_SECRET": "a-secret-of-no-real-app", "MISSED_GRACE_S": "60"},
    **{"SECOND_WAY": "true", "SECOND_WAY_AFTER": "2"},
}
IN_FLIGHT = "bellhop:inflight:bellhop-rings:"


async def on_the_trail(installation: Installation, call: SampleCall, what: str) -> int:
    return [line.what for line in await trail_of(installation.store, call.cid)].count(what)


async def that_waits(installation: Installation) -> list[str]:
    """The processes that have the job of a ring. The log of a worker has its name in Redis."""
    keys = await installation.store.call("KEYS", f"{IN_FLIGHT}*")
    names = [key.decode().removeprefix(IN_FLIGHT) for key in keys]
    return [process for process in installation.processes for name in names if name in installation.log(process)]


@pytest.mark.timeout(120)
async def test_another_worker_rings_the_silent_phone_again(tmp_path):
    voip, alert = secrets.token_hex(32), secrets.token_hex(32)
    async with Installation(tmp_path, SETTINGS, workers=2) as installation:
        for kind, token in ((Kind.VOIP, voip), (Kind.ALERT, alert)):
            device = await installation.register("jane", Provider.APNS, kind, token, hardware_id="phone")
            command = note_receipt("default", "jane", device.key, 5_000, round_started_at=1, event="rang")
            await installation.store.script(*command)
        call = SampleCall("sara", ("jane",))
        await installation.stream.post(call.ring())
        while not await on_the_trail(installation, call, "attempted"):  # then Apple's answer is recorded
            await asyncio.sleep(0.01)
        [waiting] = await that_waits(installation)
        installation.stop(waiting, signal.SIGKILL)
        await come_true(lambda: len(installation.arrivals) > 1)
        while await that_waits(installation):
            await asyncio.sleep(0.01)
        assert [arrival.token for arrival in installation.arrivals] == [voip, alert]
        assert await on_the_trail(installation, call, "picked_up") == 2
        assert await on_the_trail(installation, call, "second_ring") == 1
