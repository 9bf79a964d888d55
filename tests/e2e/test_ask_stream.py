"""A person asks Stream about a call, whose webhooks were lost: in a terminal and in the console."""

import asyncio
import re
import secrets
import sys
import time

import aiohttp
import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.call_scripts import keep_answer
from tests.trails import trail_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "open sesame, console"
SAID = r"Stream says jane-\w+ answered at \d\d:\d\d:\d\d; its webhook never came\."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"CONSOLE_PASSWORD": PASSWORD}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


@pytest_asyncio.fixture(loop_scope="module")
async def call(installation):
    """A call that rings Jane's phone; the webhook of her answer is lost."""
    jane = f"jane-{secrets.token_hex(3)}"
    await installation.register(jane, Provider.FCM, Kind.ALERT, f"fcm-{jane}")
    call = SampleCall(members=(jane,))
    installation.stream_api.add_call(call)
    await installation.stream.post(call.ring())
    while not any(line.what == "attempted" for line in await trail_of(installation.store, call.cid)):
        await asyncio.sleep(0.02)
    call.accepted(jane)
    return call


async def explain(installation, *args, **settings):
    environment = installation.environment() | {f"BELLHOP_{name}": value for name, value in settings.items()}
    command = (sys.executable, "-m", "bellhop", "explain", *args)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    return process.returncode, output.decode(), " ".join(errors.decode().split())


async def test_a_terminal_shows_what_stream_says(installation, call):
    status, output, errors = await explain(installation, call.cid, "--ask")
    assert status == 0
    assert re.search(SAID, errors)
    assert re.search(SAID, " ".join(output.split()))
    await asyncio.sleep(1)
    assert "Stream reports nothing new" in (await explain(installation, call.cid, "--ask"))[2]


async def test_a_call_that_only_stream_knows(installation):
    call = SampleCall(members=("jane-1",))
    installation.stream_api.add_call(call)
    call.accepted("jane-1")
    status, output, errors = await explain(installation, call.cid, "--ask")
    assert status == 1
    assert "Bellhop has no record of the call" in output
    assert re.search(SAID, errors)


async def test_a_call_that_nobody_knows(installation):
    _, _, errors = await explain(installation, "default:nothing", "--ask")
    assert errors == "Bellhop asked Stream for the state of the ring. Stream does not know the call."


async def test_questions_that_are_switched_off(installation, call):
    status, _, errors = await explain(installation, call.cid, "--ask", STREAM_QUESTIONS_PER_S="0")
    assert status == 0
    assert errors.startswith("Stream was not asked: BELLHOP_STREAM_QUESTIONS_PER_S is 0")


async def test_all_processes_share_one_budget(tmp_path):
    """Two workers and two terminals ask about more calls than the budget allows."""
    per_s = 1
    async with Installation(tmp_path, {"STREAM_QUESTIONS_PER_S": str(per_s)}, workers=2) as installation:
        stream, calls = installation.stream_api, [SampleCall(members=("jane",)) for _ in range(12)]
        for call in calls:
            stream.add_call(call)
            assert (await installation.stream.post(call.ring())).status == 200
        began = time.time()
        ends = [installation.stream.post(call.rejected(call.caller, "cancel")) for call in calls]
        others = [SampleCall(members=("jane",)) for _ in range(2)]
        await asyncio.gather(*ends, *(explain(installation, call.cid, "--ask") for call in others))
        outcomes = []
        while len(outcomes) < len(calls):
            await asyncio.sleep(0.1)
            lines = [line for call in calls for line in await trail_of(installation.store, call.cid)]
            outcomes = [line.outcome for line in lines if line.what == "asked" and line.kind == "missed"]
    assert set(outcomes) == {"answered", "over_budget"}
    assert len(stream.questions) <= per_s * (1 + max(question.at for question in stream.questions) - began)


async def test_a_button_of_the_console_asks(installation, call):
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(installation.url, cookie_jar=jar) as browser:

        async def page(path, **form):
            method = "POST" if form else "GET"
            async with browser.request(method, path, data=form or None) as answer:
                return answer.status, await answer.text()

        def token(text):
            return re.search(r'name="token" value="([^"]+)"', text)[1]

        _, login = await page("/console/login")
        await page("/console/login", token=token(login), password=PASSWORD)
        path = f"/console/call?id={call.cid}"
        status, shown = await page(path)
        assert (status, "Ask Stream" in shown) == (200, True)
        assert (await page(path, token="forged"))[0] == 403
        status, shown = await page(path, token=token(shown))
        assert status == 200
        assert re.search(rf'role="status">{SAID}', shown)
        await installation.store.call(*keep_answer("default", call.cid, call.session_id, 60_000))
        assert (await page(path, token=token(shown)))[1].count("Stream was asked a moment ago.") == 1
