"""A real browser, and time-outs for a busy machine."""

import shutil

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from bellhop.clock import Seconds
from tests.webhook.console.played_calls import FLAGS


@pytest.fixture(autouse=True)
def patience_with_redis(monkeypatch):
    """Let a Redis of a busy machine answer late. A test of a Redis that hangs sets a time-out of its own."""
    for name in ("REDIS_TIMEOUT_S", "FORMER_TIMEOUT_S"):
        monkeypatch.setattr(f"webhook.context.{name}", Seconds(20.0))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS, chromium_sandbox=False)
        yield browser
        await browser.close()
