"""`bellhop check`: Stream's apps. Are key and secret right, does a webhook lead to Bellhop, are Stream's pushes off?

Call types as Stream's server SDK reads them (getstream 7.0.0: ListCallTypeResponse): `bellhop.stream_templates`.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sized

import aiohttp
from redis.exceptions import RedisError

from bellhop.cli.check import callers
from bellhop.cli.check.clocks import clock_finding
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.hooks import HookCheck
from bellhop.cli.check.hooks import findings as findings_of_hooks
from bellhop.cli.check.webhooks import LatestWebhooks
from bellhop.clock import seconds
from bellhop.settings import Settings, StreamApp
from bellhop.settings.pushes_file import read_pushes
from bellhop.store import clock_differences
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import read_time
from bellhop.stream_api import StreamApi, StreamRefused, stream_api
from bellhop.stream_hooks import read_app
from bellhop.stream_templates import KINDS, CallType, read_call_types, taken_over, without_ours

TIMEOUT_S = 10.0
CLOCKS = "Until then Bellhop allows for the difference that it learns from the events"
GUIDE = "docs/getting-started.md"


async def findings(settings: Settings, store: Store, arrivals: LatestWebhooks | None = None) -> AsyncIterator[Finding]:
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
                async for finding in callers.findings(settings, api, f"Stream {app.tenant}"):
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
        types = await read_call_types(api)
        at_stream = await read_app(api, check.app)
    except StreamRefused as refused:
        if refused.permanent:
            sentence = f"does not accept this API key and secret ({refused}): copy both from Stream's dashboard"
            yield Finding(Level.PROBLEM, subject, sentence)
            return
        sentence = f"could not be checked ({refused}). Check on its dashboard that its own pushes are off ({GUIDE})"
        yield Finding(Level.WARNING, subject, sentence)
    else:
        hooks = at_stream.hooks
        yield _own_pushes(subject, types, check.settings)
        if names := " and ".join(at_stream.unreachable):
            sentence = f"has push providers of {names}, and Bellhop does not reach these phones"
            advice = f"Keep Stream's pushes on for the call types of users who have no other phone ({GUIDE})"
            yield Finding(Level.WARNING, subject, f"{sentence}. {advice}")
        for finding in template_findings(subject, types, check.settings):
            yield finding
    async for finding in findings_of_hooks(check, session, api.secret, hooks):
        yield finding


async def _clock(store: Store, api: StreamApi, tenant: str) -> AsyncIterator[Finding]:
    """Compare Redis's clock with Stream's, by Stream's answers to this check, or else by recent events."""
    try:
        reads = [clock_differences.read(tenant, partition) for partition in store.partitions]
        *answers, redis_time = await store.together(*reads, ("TIME",))
    except RedisError:
        return
    stream_now = api.now()
    known_us = clock_differences.latest(answers).applied_us
    ahead_us = known_us if stream_now is None else read_time(redis_time) - stream_now
    found = clock_finding(f"Stream {tenant}", "Redis's clock", seconds(ahead_us), "Stream's")
    yield found._replace(sentence=f"{found.sentence}. {CLOCKS}") if found.level is Level.WARNING else found


def _own_pushes(subject: str, types: Mapping[str, CallType], settings: Settings) -> Finding:
    """Report which of the pushes that Bellhop sends Stream sends too, by call type."""
    switched_on = {
        name: pushes
        for name, type_ in sorted(types.items())
        if type_.notification_settings and (pushes := type_.notification_settings.switched_on(_ours(name, settings)))
    }
    if not switched_on:
        checked = _count(types, "call type")
        sentence = f"accepts the secret; its own pushes for rings, missed calls and notifications are off ({checked})"
        return Finding(Level.OK, subject, sentence)
    listed = "; ".join(f"{', '.join(pushes)} of call type {name}" for name, pushes in switched_on.items())
    advice = f"When all devices are registered in Bellhop, switch these off: otherwise phones ring twice ({GUIDE})"
    return Finding(Level.WARNING, subject, f"also sends its own pushes: {listed}. {advice}")


def _ours(call_type: str, settings: Settings) -> list[str]:
    """Return Stream's names of the pushes that Bellhop sends for calls of a type."""
    return [name for name, kind in KINDS.items() if call_type in settings.started_pushes.get(kind, {call_type})]


def template_findings(subject: str, types: Mapping[str, CallType], settings: Settings) -> Iterator[Finding]:
    """Report what Stream's pushes say and Bellhop's do not."""
    templates = read_pushes(settings).templates
    for push in taken_over(types):
        if push.call_type not in settings.started_pushes.get(push.kind, {push.call_type}):
            continue
        apps = [app for provider, app in settings.push_apps if provider == push.provider]
        if missing := without_ours(push, templates, apps):
            which = f"the {push.kind} push of call type {push.call_type} through {push.provider}"
            advice = "Run `bellhop import-stream-templates` to take it over (docs/pushes.md)"
            sentence = f"{which} has {', '.join(missing)} at Stream, and not in your own pushes. {advice}"
            yield Finding(Level.WARNING, subject, sentence)
        for reason in push.lost:
            sentence = f"call type {push.call_type}, {push.kind} through {push.provider}: Bellhop cannot send {reason}"
            yield Finding(Level.WARNING, subject, sentence)


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
