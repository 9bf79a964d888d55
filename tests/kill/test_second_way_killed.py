"""The worker of a ring is killed while it waits: for a phone's receipt, and between two alerts to another phone.

The first phone still gets one second push. The second phone gets the next alert, and one text at the end.
"""

import asyncio
import secrets
import signal

import pytest

from bellhop.domain.device import Kind, Provider, RingsBy
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.phones import note_receipt
from tests.redis_servers import keys_that_begin
from tests.trails import trail_of
from tests.waiting import come_true

SETTINGS = {
    **{"RECEIPT_SECRET": "a-secret-of-no-real-app", "MISSED_GRACE_S": "60"},
    **{"SECOND_WAY": "true", "SECOND_WAY_AFTER": "5", "ALERT_RING_EVERY": "2"},
}
RING, MISSED = "call.ring", "call.missed"
IN_FLIGHT = "bellhop:inflight:bellhop-rings:"


async def on_the_trail(installation: Installation, call: SampleCall, what: str) -> int:
    return [line.what for line in await trail_of(installation.store, call.cid)].count(what)


def shown(installation: Installation, token: str) -> list[str]:
    """The pushes that this token was shown, in order."""
    return [arrival.type for arrival in installation.arrivals if arrival.token == token]


def that_waits(installation: Installation) -> list[str]:
    """The processes that have the job of a ring. The log of a worker has its name in Redis."""
    names = [key.removeprefix(IN_FLIGHT) for key in keys_that_begin(installation.redis, IN_FLIGHT)]
    return [process for process in installation.processes for name in names if name in installation.log(process)]


@pytest.mark.timeout(120)
async def test_another_worker_rings_the_phones_again(tmp_path):
    voip, alert, by_alert = (secrets.token_hex(32) for _ in range(3))
    async with Installation(tmp_path, SETTINGS, workers=2) as installation:
        for kind, token in ((Kind.VOIP, voip), (Kind.ALERT, alert)):
            device = await installation.register("jane", Provider.APNS, kind, token, hardware_id="phone")
            command = note_receipt("default", "jane", device.key, 5_000, round_started_at=1, event="rang")
            await installation.store.script(*command)
        await installation.register("ben", Provider.APNS, Kind.ALERT, by_alert, hardware_id="his", rings=RingsBy.ALERT)
        call = SampleCall("sara", ("jane", "ben"))
        await installation.stream.post(call.ring())
        while await on_the_trail(installation, call, "attempted") < 2:  # then Apple's answers are recorded
            await asyncio.sleep(0.01)
        [waiting] = that_waits(installation)
        installation.stop(waiting, signal.SIGKILL)
        await come_true(lambda: len(shown(installation, alert)) == 1 and len(shown(installation, by_alert)) > 1)
        await installation.stream.post(call.rejected(call.caller, "cancel"))
        await come_true(lambda: {shown(installation, token)[-1] for token in (alert, by_alert)} == {MISSED})
        while that_waits(installation):
            await asyncio.sleep(0.01)
        assert shown(installation, voip) == [RING]
        assert shown(installation, alert) == [RING, MISSED]
        alerts = shown(installation, by_alert)
        assert alerts == [*[RING] * (len(alerts) - 1), MISSED]
        assert await on_the_trail(installation, call, "picked_up") == 2
        assert await on_the_trail(installation, call, "second_ring") == 1
