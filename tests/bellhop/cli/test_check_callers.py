"""`bellhop check` says whether callers' apps can be told, and of what."""

import aiohttp
import pytest

from bellhop.cli.check import callers
from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.stream_api import StreamApi
from tests.factories import web_settings

SECRET = "a-secret-that-pyjwt-finds-long-enough"


async def found(status=0, secret=SECRET, **settings):
    async with StreamApiStandIn("key", SECRET) as stream, aiohttp.ClientSession() as session:
        stream.events.statuses = [status] if status else []
        api = StreamApi(session, stream.url, "key", secret)
        settings = web_settings("redis://127.0.0.1", **{"tell_caller": True} | settings)
        findings = callers.findings(settings, api, "Stream default")
        return [(finding.level, finding.sentence) async for finding in findings]


async def test_nothing_is_asked_if_callers_are_not_told():
    assert await found(tell_caller=False) == []


async def test_all_is_well():
    ((level, sentence),) = await found(receipt_secret="a-secret-of-no-real-app")
    assert (level, "takes custom events" in sentence) == ("ok", True)


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [(403, "problem", "does not let"), (429, "warning", "too many"), (500, "warning", "500")],
)
async def test_what_stream_answers_is_said(status, level, words):
    (first, *_) = await found(status)
    assert first[0] == level
    assert words in first[1]


async def test_without_receipts_a_warning_says_what_is_missing():
    assert [level for level, _ in await found()] == ["ok", "warning"]
