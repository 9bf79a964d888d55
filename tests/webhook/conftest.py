"""A real browser."""

import shutil

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.webhook.console.played_calls import FLAGS


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS, chromium_sandbox=False)
        yield browser
        await browser.close()
