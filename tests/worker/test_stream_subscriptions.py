"""The settings of an app at Stream tell which events it sends to Bellhop."""

import asyncio

import aiohttp
import pytest
import pytest_asyncio

from bellhop.sandbox.stream_rest import StreamApiStandIn, hook
from bellhop.settings import StreamApp
from bellhop.stream_api import StreamApi
from worker.stream_subscriptions import ReadingTimes, StreamSubscriptions

KEY, SECRET = "key", "secret"
OURS, OTHER = "https://calls.example/webhooks/stream", "https://backend.example/hook"


@pytest_asyncio.fixture
async def stream():
    async with StreamApiStandIn(KEY, SECRET) as stream:
        yield stream


@pytest_asyncio.fixture
async def read(stream):
    """Read the settings again and again; each call waits until they were read once more."""
    app = StreamApp(api_keys=[KEY], api_secrets=[SECRET])
    async with aiohttp.ClientSession() as session:
        subscriptions = StreamSubscriptions(
            {"default": StreamApi(session, stream.url, KEY, SECRET)}, [app], ReadingTimes(0.01, 0.01)
        )
        reading = asyncio.create_task(subscriptions.keep_reading())

        async def again():
            wanted = stream.app_reads + 2  # the first of them may have begun before the change
            while stream.app_reads < wanted:
                await asyncio.sleep(0.01)
            return subscriptions

        yield again
        reading.cancel()


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ({"event_hooks": [hook(OURS, "call.ring")]}, False),
        ({"event_hooks": [hook(OURS, "call.ring", "call.missed")]}, True),
        ({"event_hooks": [hook(OURS)]}, True),
        ({"event_hooks": [hook(OURS, "call.ring"), hook(OURS + "/", "call.missed", enabled=False)]}, False),
        ({"event_hooks": [hook(OURS, "call.ring"), hook(OTHER, "call.missed")]}, False),
        ({"event_hooks": [hook(OTHER, "call.ring")]}, True),  # perhaps a proxy that passes events on
        ({"event_hooks": []}, True),
        ({"webhook_url": OURS, "webhook_events": ["call.ring"]}, False),
        ({"webhook_url": OURS}, True),
    ],
)
async def test_only_what_the_settings_leave_out_is_unsent(stream, read, app, expected):
    stream.app = app
    subscriptions = await read()
    assert subscriptions.may_send("default", "call.missed") is expected
    assert subscriptions.may_send("another", "call.missed") is True


async def test_settings_that_cannot_be_read_say_nothing(stream, read):
    stream.app = {"event_hooks": [hook(OURS, "call.ring")]}
    assert (await read()).may_send("default", "call.missed") is False
    stream.secrets[KEY] = "another"
    assert (await read()).may_send("default", "call.missed") is True
