"""`bellhop check`: a webhook that the check signs itself and posts to where Stream posts its events."""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from bellhop.cli.check.clocks import clock_finding
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.clock import Seconds
from bellhop.domain.event_types import TEST_EVENT_TYPE
from bellhop.settings import Settings, StreamApp
from bellhop.store.keys import check_key
from bellhop.store.redis_url import shown_database
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
TAKEN = "ignored"
"""What Bellhop says of an event that changes nothing, such as this one."""


class _TestAnswer(NamedTuple):
    """The answer to the test webhook."""

    status: int
    document: Mapping[str, str] | None
    """What Bellhop says of the web process there; None if Bellhop has not taken the webhook."""


async def findings(
    session: aiohttp.ClientSession,
    settings: Settings,
    app: StreamApp,
    secret: str,
    url: str,
    *,
    came_lately: bool,
) -> AsyncIterator[Finding]:
    """Post the webhook. If Stream's own webhooks `came_lately`, a failure to connect from here is only a warning."""
    subject, shown = f"Stream {app.tenant}", without_secrets(url)
    webhook_id = str(uuid.uuid4())
    await read_redis(settings, lambda redis: redis.set(check_key(webhook_id), "1", ex=60))
    try:
        answer = await _post(session, app.api_keys[0], secret, url, webhook_id)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        sentence = f"no answer from {shown} to a test webhook ({type(error).__name__})"
        if came_lately:
            yield Finding(Level.WARNING, subject, f"{sentence}; Stream's webhooks arrive, so it may be right")
        else:
            advice = "start `bellhop web`, or correct the address or the proxy"
            yield Finding(Level.PROBLEM, subject, f"{sentence}: {advice}")
        return
    if answer.document is not None:
        yield Finding(Level.OK, subject, f"a test webhook is taken at {shown}")
        for finding in _of_the_process(settings, shown, answer.document):
            yield finding
        return
    advice = ANSWERS.get(answer.status) or "Stream needs a 2xx: see docs/troubleshooting.md"
    level = Level.WARNING if answer.status == 403 and came_lately else Level.PROBLEM
    yield Finding(level, subject, f"{shown} answers {answer.status} to a test webhook: {advice}")


def _of_the_process(settings: Settings, shown: str, said: Mapping[str, str]) -> Iterator[Finding]:
    """Compare the Redis and the clock of the web process with ours. An older version says nothing of them."""
    if said.get("same_redis") == "no":
        ours = shown_database(settings.redis_url)
        sentence = (
            f"the web process at {shown} uses Redis {said.get('redis')}, and this check {ours}: set the same "
            "BELLHOP_REDIS_URL for all processes"
        )
        yield Finding(Level.PROBLEM, "Redis", sentence)
    if "clock_ahead_s" in said:
        yield clock_finding("clock", f"the clock of the web process at {shown}", Seconds(float(said["clock_ahead_s"])))


def local_url(settings: Settings) -> str:
    """Return where webhooks are posted on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.web_host, settings.web_host)  # noqa: S104 - compared
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web_port}{WEBHOOK_PATH}"


async def _post(session: aiohttp.ClientSession, api_key: str, secret: str, url: str, webhook_id: str) -> _TestAnswer:
    body = json.dumps({"type": TEST_EVENT_TYPE, "id": webhook_id}).encode()
    headers = signed_headers(body, api_key, secret, webhook_id)
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
        text = await answer.content.read(1_000)
    return _TestAnswer(answer.status, _document(text) if answer.status == 200 else None)


def _document(text: bytes) -> Mapping[str, str] | None:
    """Read Bellhop's answer to the test webhook; None if another program gave it."""
    with contextlib.suppress(ValueError):
        document = json.loads(text)
        if isinstance(document, dict) and document.get("status") == TAKEN:
            return document
    return None


def without_secrets(url: str) -> str:
    """Leave out the user, the password and the query of a URL."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
