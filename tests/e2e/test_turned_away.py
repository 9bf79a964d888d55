"""What strangers, or a wrong secret, cause shows in `bellhop check`, on the console and in the metrics."""

import asyncio
import re
import time

import aiohttp
import pytest
import pytest_asyncio
import redis

from bellhop.sandbox.installation import API_KEY, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn
from bellhop.telemetry.turned_away import read_last_hour
from tests.e2e.bellhop_command import run_bellhop
from tests.webhook.console.played_calls import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "token-of-the-metrics"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    settings = {"CONSOLE_PASSWORD": PASSWORD, "METRICS_TOKEN": TOKEN}
    async with Installation(tmp_path_factory.mktemp("installation"), settings) as installation:
        yield installation


async def post(installation, api_key=API_KEY, secret="the-secret-of-another-app", event=None):
    stream = StreamStandIn(installation.url, api_key, secret, installation.http)
    return (await stream.post(SampleCall().ring() if event is None else event)).status


async def counted(installation, number):
    """Wait until the web process has written what it counted."""
    give_up = time.monotonic() + 15
    with redis.Redis.from_url(installation.redis.url) as client:
        while (counts := read_last_hour(client)).total() < number:
            assert time.monotonic() < give_up, counts
            await asyncio.sleep(0.1)


async def console(installation, path):
    """Read a page of the console after logging in."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{installation.url}/console/login") as page:
            token = re.search(r'name="token" value="([^"]+)"', await page.text())[1]
        await browser.post(f"{installation.url}/console/login", data={"token": token, "password": PASSWORD})
        async with browser.get(f"{installation.url}{path}") as page:
            return await page.text()


async def test_a_wrong_secret_shows_everywhere(installation):
    for _ in range(3):
        assert await post(installation) == 401
    assert await post(installation, api_key="nobody") == 401
    await installation.stream.post(b"[]")
    wrong_token = {"Authorization": "Bearer x"}
    assert (await installation.http.get(f"{installation.url}/v1/users/me/devices", headers=wrong_token)).status == 401
    await counted(installation, 6)
    sentences = [
        "3 webhooks refused in the last hour: "
        f"signature does not match: is the secret of key {API_KEY} right? (from 127.0.0.1)",
        "1 webhook refused in the last hour: API key nobody is not configured: add the app",
        "1 request to /v1 refused in the last hour: the token is not signed with the app",
        "1 webhook of app default kept in the last hour: Bellhop cannot read them: please",
    ]
    done = await run_bellhop(installation, "check")
    assert done.returncode == 0, "strangers do not make the check fail"
    for page in (
        done.stdout,
        await console(installation, "/console/service"),
        await console(installation, "/console/"),
    ):
        for sentence in sentences:
            assert sentence in page
    async with installation.http.get(
        f"{installation.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as metrics:
        assert 'bellhop_webhooks_refused_total{reason="bad_signature"} 3.0' in await metrics.text()
