"""What `bellhop check` asks Stream: does it take our secret, does a hook lead here, does it still push by itself?

Call types and hooks as Stream's server SDK reads them (getstream 7.0.0: ListCallTypeResponse, GetApplicationResponse).
"""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel

from bellhop.cli.check.finding import Finding, Level
from bellhop.domain.event_types import HANDLED_EVENT_TYPES
from bellhop.settings import Settings, StreamApp
from bellhop.stream_api import StreamApi, StreamRefused

ANSWER_S = 10.0
PATH = "/webhooks/stream"
GUIDE = "docs/getting-started.md"
OURS = ("call_ring", "call_missed", "call_notification")
"""The pushes of Stream's that Bellhop sends in its place."""


class _Push(BaseModel):
    enabled: bool | None = None


class _Pushes(BaseModel):
    """Which pushes Stream sends for a call type, below one switch for all."""

    enabled: bool | None = None
    call_ring: _Push | None = None
    call_missed: _Push | None = None
    call_notification: _Push | None = None

    def on(self) -> list[str]:
        if self.enabled is False:
            return []
        pushes = {name: getattr(self, name) for name in OURS}
        return [name for name, push in pushes.items() if push is not None and push.enabled]


class _CallType(BaseModel):
    notification_settings: _Pushes | None = None


class _CallTypes(BaseModel):
    call_types: dict[str, _CallType]


class _Hook(BaseModel):
    enabled: bool | None = None
    hook_type: str | None = None
    webhook_url: str | None = None
    sqs_queue_url: str | None = None
    sns_topic_arn: str | None = None
    event_types: list[str] | None = None
    """None or empty: all."""

    def leads_to(self, app: StreamApp) -> bool:
        if self.sns_topic_arn:
            # A queue may subscribe to any topic, and only Amazon knows.
            return bool(app.sqs_queue_url) or self.sns_topic_arn in app.sns_topics
        if self.sqs_queue_url:
            return self.sqs_queue_url == app.sqs_queue_url
        return urlsplit(self.webhook_url or "").path.rstrip("/").endswith(PATH)


class _App(BaseModel):
    event_hooks: list[_Hook] | None = None
    webhook_url: str | None = None
    webhook_events: list[str] | None = None
    sqs_url: str | None = None
    sns_topic_arn: str | None = None
    """The last four are from before there could be several hooks."""

    def hooks(self) -> Iterator[_Hook]:
        yield from (hook for hook in self.event_hooks or [] if hook.enabled)
        for one in (
            _Hook(webhook_url=self.webhook_url),
            _Hook(sqs_queue_url=self.sqs_url),
            _Hook(sns_topic_arn=self.sns_topic_arn),
        ):
            yield one.model_copy(update={"event_types": self.webhook_events})


class _Answer(BaseModel):
    app: _App


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Ask Stream about each of its apps, whose keys and secrets are in the settings."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
        for app in settings.stream_apps:
            async for finding in _of(session, settings.stream_api_url, app):
                yield finding


async def _of(session: aiohttp.ClientSession, url: str, app: StreamApp) -> AsyncIterator[Finding]:
    subject = f"Stream {app.tenant}"
    try:
        api, types = await _call_types(session, url, app)
        hooks = list((await api.get("/api/v2/app", _Answer)).app.hooks())
    except StreamRefused as refused:
        if refused.for_good:
            sentence = f"does not take this API key and secret ({refused}): copy both from Stream's dashboard"
            yield Finding(Level.PROBLEM, subject, sentence)
        else:
            sentence = f"could not be asked ({refused}): see on its dashboard that its own pushes are off ({GUIDE})"
            yield Finding(Level.WARNING, subject, sentence)
        return
    yield _own_pushes(subject, types)
    yield _hook(subject, [hook for hook in hooks if hook.leads_to(app)])


async def _call_types(session: aiohttp.ClientSession, url: str, app: StreamApp) -> tuple[StreamApi, _CallTypes]:
    """Ask with each secret: while one is being rotated, Stream may not take the first."""
    for secret in app.api_secrets:
        api = StreamApi(session, url, app.api_keys[0], secret.get_secret_value())
        try:
            return api, await api.get("/api/v2/video/calltypes", _CallTypes)
        except StreamRefused as refused:
            last = refused
            if not refused.for_good:
                break
    raise last


def _own_pushes(subject: str, types: _CallTypes) -> Finding:
    on = {
        name: pushes
        for name, type_ in sorted(types.call_types.items())
        if type_.notification_settings and (pushes := type_.notification_settings.on())
    }
    if not on:
        sentence = f"takes our secret, and pushes no rings, missed calls or notifications by itself ({_types(types)})"
        return Finding(Level.OK, subject, sentence)
    told = "; ".join(f"{', '.join(pushes)} of {name}" for name, pushes in on.items())
    advice = f"Once people's devices are here, switch these off, or phones ring twice ({GUIDE})"
    return Finding(Level.WARNING, subject, f"pushes by itself, too: {told}. {advice}")


def _types(types: _CallTypes) -> str:
    return f"{len(types.call_types)} call type{'' if len(types.call_types) == 1 else 's'}"


def _hook(subject: str, hooks: list[_Hook]) -> Finding:
    if not hooks:
        return Finding(
            Level.WARNING, subject, f"has no hook that leads here: add https://<your host>{PATH} on its dashboard"
        )
    wanted = set(HANDLED_EVENT_TYPES)
    for hook in hooks:
        wanted -= set(hook.event_types or HANDLED_EVENT_TYPES)
    if wanted:
        sentence = f"does not send all that Bellhop needs: add {', '.join(sorted(wanted))} to the hook's events"
        return Finding(Level.WARNING, subject, sentence)
    hosts = {urlsplit(hook.webhook_url).hostname or "" for hook in hooks if hook.webhook_url}
    return Finding(Level.OK, subject, f"sends its events to {', '.join(sorted(hosts)) or 'a queue or topic of Amazon'}")
