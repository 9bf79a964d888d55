"""`bellhop check`: Stream's apps. Are key and secret right, does a webhook lead to Bellhop, are Stream's pushes off?

Call types as Stream's server SDK reads them (getstream 7.0.0: ListCallTypeResponse).
"""

from collections.abc import AsyncIterator, Sized

import aiohttp
from pydantic import BaseModel
from redis.exceptions import RedisError

from bellhop.cli.check.clocks import clock_finding
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.hooks import HookCheck
from bellhop.cli.check.hooks import findings as findings_of_hooks
from bellhop.cli.check.webhooks import WebhooksOfLate
from bellhop.clock import seconds
from bellhop.settings import Settings, StreamApp
from bellhop.store import clock_differences
from bellhop.store.async_client import Store
from bellhop.stream_api import StreamApi, StreamRefused, stream_api
from bellhop.stream_hooks import hooks_for_bellhop

TIMEOUT_S = 10.0
CLOCKS = "Until then Bellhop allows for the difference that it learns from the events"
GUIDE = "docs/getting-started.md"
OURS = ("call_ring", "call_missed", "call_notification")
"""The pushes that Bellhop sends instead of Stream."""


class _Push(BaseModel):
    enabled: bool | None = None


class _Pushes(BaseModel):
    """Which pushes Stream sends for a call type. `enabled` is the switch for all of them."""

    enabled: bool | None = None
    call_ring: _Push | None = None
    call_missed: _Push | None = None
    call_notification: _Push | None = None

    def switched_on(self) -> list[str]:
        """Return the names of the pushes in OURS that Stream sends."""
        if self.enabled is False:
            return []
        pushes = {name: getattr(self, name) for name in OURS}
        return [name for name, push in pushes.items() if push is not None and push.enabled]


class _CallType(BaseModel):
    notification_settings: _Pushes | None = None


class _CallTypes(BaseModel):
    call_types: dict[str, _CallType]


async def findings(settings: Settings, store: Store, arrivals: WebhooksOfLate | None = None) -> AsyncIterator[Finding]:
    """Check each Stream app with its key and secret."""
    if not settings.stream_apps:
        sentence = (
            "no Stream app is configured. The web process needs BELLHOP_STREAM_API_KEY and BELLHOP_STREAM_API_SECRET"
        )
        yield Finding(Level.WARNING, "Stream", sentence)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        for app in settings.stream_apps:
            configured = _configured(app)
            yield configured
            if configured.level is Level.OK:
                api = stream_api(settings.stream_api_url, session, app)
                came_lately = arrivals is not None and arrivals.came_lately(app.tenant)
                check = HookCheck(settings, app, came_lately)
                async for finding in _answers(api, check, session):
                    yield finding
                async for finding in _clock(store, api, app.tenant):
                    yield finding


def _configured(app: StreamApp) -> Finding:
    subject = f"Stream {app.tenant}"
    if {secret.get_secret_value() for secret in app.api_secrets} & set(app.api_keys):
        sentence = "the API secret is the same as the API key: copy the secret from Stream's dashboard"
        return Finding(Level.PROBLEM, subject, sentence)
    return Finding(Level.OK, subject, f"API key {', '.join(app.api_keys)}, {_count(app.api_secrets, 'secret')}")


async def _answers(api: StreamApi, check: HookCheck, session: aiohttp.ClientSession) -> AsyncIterator[Finding]:
    subject, hooks = f"Stream {check.app.tenant}", None
    try:
        types = await api.get("/api/v2/video/calltypes", _CallTypes)
        hooks = await hooks_for_bellhop(api, check.app)
    except StreamRefused as refused:
        if refused.permanent:
            sentence = f"does not accept this API key and secret ({refused}): copy both from Stream's dashboard"
            yield Finding(Level.PROBLEM, subject, sentence)
            return
        sentence = f"could not be checked ({refused}). Check on its dashboard that its own pushes are off ({GUIDE})"
        yield Finding(Level.WARNING, subject, sentence)
    else:
        yield _own_pushes(subject, types)
    async for finding in findings_of_hooks(check, session, api.secret, hooks):
        yield finding


async def _clock(store: Store, api: StreamApi, tenant: str) -> AsyncIterator[Finding]:
    """Compare Redis's clock with Stream's, by Stream's answers to this check, or else by recent events."""
    try:
        redis_now, known = await clock_differences.read_with_time(store, tenant)
    except RedisError:
        return
    stream_now = api.now()
    ahead_us = known.applied_us if stream_now is None else redis_now - stream_now
    level, subject, sentence = clock_finding(f"Stream {tenant}", "Redis's clock", seconds(ahead_us), "Stream's")
    yield Finding(level, subject, f"{sentence}. {CLOCKS}" if level is Level.WARNING else sentence)


def _own_pushes(subject: str, types: _CallTypes) -> Finding:
    """Report which of the pushes in OURS Stream sends, by call type."""
    switched_on = {
        name: pushes
        for name, type_ in sorted(types.call_types.items())
        if type_.notification_settings and (pushes := type_.notification_settings.switched_on())
    }
    if not switched_on:
        checked = _count(types.call_types, "call type")
        sentence = f"accepts the secret; its own pushes for rings, missed calls and notifications are off ({checked})"
        return Finding(Level.OK, subject, sentence)
    listed = "; ".join(f"{', '.join(pushes)} of call type {name}" for name, pushes in switched_on.items())
    advice = f"When all devices are registered in Bellhop, switch these off: otherwise phones ring twice ({GUIDE})"
    return Finding(Level.WARNING, subject, f"also sends its own pushes: {listed}. {advice}")


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
