"""Every page has one path. Another form of it is unknown, and no redirect leaves the host."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.factories import web_settings
from tests.webhook.server.test_http_connection import serving
from webhook.app import create_app
from webhook.console.canonical_path import is_other_form

HEADER = "X-Forwarded-User"
OTHER_FORMS = [
    "//console/",
    "///console/",
    "/console//",
    "/console//call",
    "/%63onsole/",
    "/%43onsole/",
    "/%2563onsole/",
    "/console%2f",
    "/console%2F",
    "/console%5c",
    "/console/%63all",
    "/console/%2e%2e/console/",
    "/./console/",
    "/x/../console/",
    "/console/.",
    "/console/../console/",
    "/console/..",
    "/%2e/console/",
    "/%2fconsole/",
    "//example.com/..//console/",
    "/console;/",
    "/\\console/",
    "/webhooks/../console/",
]


@pytest.fixture
def app(redis_url):
    return create_app(web_settings(redis_url, console_proxy_header=HEADER, console_trusted_proxies=["127.0.0.1"]))


async def answer_to(app, target, method="GET", headers=""):
    """Send a request as it is written, and return the status and the whole answer."""
    async with serving(app, on_loop=False) as address:
        reader, writer = await asyncio.open_connection(*address)
        lines = f"{method} {target} HTTP/1.1\r\nHost: evil.example\r\n{headers}Connection: close\r\n\r\n"
        writer.write(lines.encode())
        answer = (await reader.read()).decode()
        writer.close()
    return int(answer.split()[1]), answer


async def test_a_wrong_method_is_answered_with_the_right_ones(app):
    status, answer = await answer_to(app, "/webhooks/stream")
    assert (status, "\r\nAllow: OPTIONS, POST\r\n" in answer) == (405, True)


@pytest.mark.parametrize("target", OTHER_FORMS)
async def test_another_form_of_the_consoles_path_is_unknown(app, target):
    with capture_logs() as lines:
        status, answer = await answer_to(app, target, headers=f"{HEADER}: admin\r\n")
    assert (status, "Signed in" in answer) == (404, False)
    refused = {"event": "request_refused", "log_level": "warning", "part": "console", "reason": "other_path"}
    assert lines == [refused | {"address": "127.0.0.1"}]


@pytest.mark.parametrize("target", ["/console/", "/console/?q=%2f%2e//", "/console/service", "/console/failed"])
async def test_the_path_itself_opens_the_page(app, target):
    status, answer = await answer_to(app, target, headers=f"{HEADER}: admin\r\n")
    assert (status, "Signed in" in answer) == (200, True)


@pytest.mark.parametrize("query", ["", "?q=jane"])
async def test_the_short_address_leads_to_the_same_host(app, query):
    status, answer = await answer_to(app, f"/console{query}")
    assert status == 308
    assert f"\r\nLocation: /console/{query}\r\n" in answer


@pytest.mark.parametrize("target", ["//webhooks/stream", "/webhooks//stream", "/webhooks/stream/", "//v1/openapi.json"])
async def test_no_other_path_leads_to_another_host(app, target):
    with capture_logs() as lines:
        status, answer = await answer_to(app, target, "POST", "X-Signature: x\r\nContent-Length: 0\r\n")
    assert status == 404
    assert "evil.example" not in answer
    if "webhooks" in target:
        assert lines[0]["event"] == "webhook_refused"


@pytest.mark.parametrize(
    "path", ["/", "/consoles", "/console-x/", "/v1/users/a%2Db", "/x/console/", "/webhooks/stream"]
)
def test_other_paths_are_not_the_consoles(path):
    assert not is_other_form(path)
