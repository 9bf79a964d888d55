"""The page of the HTTP API: off by default; in a real browser it shows every operation, and loads nothing else."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from tests.factories import web_settings
from tests.webhook.console.played_calls import window
from webhook.api import api_page
from webhook.api.openapi_route import DOCUMENT
from webhook.app import create_app


def test_the_page_is_off_by_default(redis_url):
    client = create_app(web_settings(redis_url)).test_client()
    for path in ("/v1/docs", "/v1/docs/start.js", "/v1/docs/swagger-ui.css"):
        assert client.get(path).status_code == 404
    assert client.get("/v1/openapi.json").status_code == 200


def test_the_page_and_its_files_cannot_load_other_sites(redis_url):
    client = create_app(web_settings(redis_url, api_page=True)).test_client()
    for path in ("/v1/docs", "/v1/docs/swagger-ui-bundle.js"):
        with client.get(path) as answer:
            assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/v1/docs/../api_page.py").status_code == 404


def test_the_files_of_swagger_ui_are_those_of_the_version():
    folder = Path(api_page.__file__).parent / "swagger_ui"
    sums = re.findall(r"^\| `([\w.-]+)` \| `([0-9a-f]{64})` \|", (folder / "README.md").read_text(), re.MULTILINE)
    assert len(sums) == 2
    assert sums == [(name, sha256((folder / name).read_bytes()).hexdigest()) for name, _ in sums]
    assert "Apache License" in (folder / "LICENSE").read_text()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_shows_every_operation(chromium, installation):
    async with window(chromium, installation) as page:
        await page.goto("/v1/docs")
        await page.get_by_role("heading", name="Bellhop").wait_for()
        operations = page.locator(".opblock:not(.opblock-webhook)")
        names = {f"{method} {path}".lower() for path, methods in DOCUMENT["paths"].items() for method in methods}
        await operations.nth(len(names) - 1).wait_for()
        shown = await operations.locator(".opblock-summary-method, .opblock-summary-path").all_inner_texts()
        words = [text.replace("\u200b", "").lower() for text in shown]
        assert {*map(" ".join, zip(words[::2], words[1::2], strict=True))} >= names
        calls = page.locator("#operations-Calls-list_calls")
        await calls.locator(".opblock-summary-path").click()
        await calls.get_by_text("Only missed calls.").wait_for()
        assert "urn:bellhop:problem:calls-off" in await calls.inner_text()
