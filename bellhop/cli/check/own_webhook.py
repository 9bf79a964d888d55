"""`bellhop check`: a webhook that the check signs itself and posts to where Stream posts its events."""

import json
import uuid
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from bellhop.cli.check.finding import Finding, Level
from bellhop.domain.event_types import TEST_EVENT_TYPE
from bellhop.settings import Settings, StreamApp
from bellhop.stream_hooks import WEBHOOK_PATH, signed_headers

NOT_BELLHOP = "another program answers there: correct the URL on Stream's dashboard, or the proxy"
ANSWERS = {
    200: NOT_BELLHOP,
    401: "the web process there has another API secret: give it these settings, or correct them here",
    403: "this machine's address is not in its BELLHOP_WEBHOOK_NETWORKS, so this check proves nothing",
    404: NOT_BELLHOP,
    503: "Redis does not answer there, or takes no writes",
}
"""What an answer to the test webhook means, by its status."""


async def finding(
    session: aiohttp.ClientSession, app: StreamApp, secret: str, url: str, *, came_lately: bool
) -> Finding:
    """Post the webhook. If Stream's own webhooks `came_lately`, a failure to connect from here is only a warning."""
    subject, shown = f"Stream {app.tenant}", without_secrets(url)
    try:
        status, is_taken = await _post(session, app.api_keys[0], secret, url)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        sentence = f"no answer from {shown} to a test webhook ({type(error).__name__})"
        if came_lately:
            return Finding(Level.WARNING, subject, f"{sentence}; Stream's webhooks arrive, so it may be right")
        return Finding(Level.PROBLEM, subject, f"{sentence}: start `bellhop web`, or correct the address or the proxy")
    if is_taken:
        return Finding(Level.OK, subject, f"a test webhook is taken at {shown}")
    advice = ANSWERS.get(status) or "Stream needs a 2xx: see docs/troubleshooting.md"
    level = Level.WARNING if status == 403 and came_lately else Level.PROBLEM
    return Finding(level, subject, f"{shown} answers {status} to a test webhook: {advice}")


def local_url(settings: Settings) -> str:
    """Return where webhooks are posted on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.web_host, settings.web_host)  # noqa: S104 - compared
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web_port}{WEBHOOK_PATH}"


async def _post(session: aiohttp.ClientSession, api_key: str, secret: str, url: str) -> tuple[int, bool]:
    """Return the status of the answer, and whether Bellhop has taken the webhook."""
    body = json.dumps({"type": TEST_EVENT_TYPE, "id": str(uuid.uuid4())}).encode()
    headers = signed_headers(body, api_key, secret, str(uuid.uuid4()))
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
        text = await answer.content.read(1_000)
    return answer.status, answer.status == 200 and b'"status"' in text


def without_secrets(url: str) -> str:
    """Leave out the user, the password and the query of a URL."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
