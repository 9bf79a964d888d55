"""A worker is killed after it sent a missed-call notice and before it recorded that: the second replaces the first."""

import asyncio
import signal
import time

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.waiting import come_true

NO_ANSWER_S = 60
WITHIN_S = 60
ALERT, PIXEL = "a1" * 32, "jane:pixel"


async def test_a_second_notice_replaces_the_first(tmp_path):
    async with Installation(tmp_path) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.ALERT, ALERT)
        await installation.register("jane-morel", Provider.FCM, Kind.ALERT, PIXEL)
        apple, google = installation.apple, installation.google
        apple.answer_delay_s = google.answer_delay_s = NO_ANSWER_S
        call, over = SampleCall(), time.time() - 1
        assert (await installation.stream.post(call.ring(at=over - 31))).status == 200
        assert (await installation.stream.post(call.missed(at=over))).status == 200
        await come_true(lambda: apple.received and google.received, WITHIN_S)
        await asyncio.to_thread(installation.stop, "worker-1", signal.SIGKILL)
        apple.answer_delay_s = google.answer_delay_s = 0
        installation.start("worker", "worker-2")
        await come_true(lambda: len(apple.received) > 1 and len(google.received) > 1, WITHIN_S)
        assert {push.payload["stream"]["type"] for push in apple.received} == {"call.missed"}
        assert one_name([push.headers["apns-collapse-id"] for push in apple.received])
        data = [push.message["data"] for push in google.received]
        assert {notice["type"] for notice in data} == {"call.missed"}
        assert one_name([notice["id"] for notice in data])


def one_name(names):
    """Tell whether all have the same name. A worker that gets no answer may have sent its notice twice already."""
    return len(set(names)) == 1 and all(names)
