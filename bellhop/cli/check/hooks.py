"""`bellhop check`: the hooks by which Stream sends an app's events to Bellhop. Do they send all, once, and to us?"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from bellhop.cli.check import own_webhook
from bellhop.cli.check.finding import Finding, Level
from bellhop.settings import Settings, StreamApp
from bellhop.stream_hooks import WEBHOOK_PATH, Hook


class _Loss(NamedTuple):
    """What does not work without some types of events."""

    types: tuple[str, ...]
    effect: str
    level: Level
    setting: str = ""
    """If it is named: the events are needed only if this setting is not empty."""


LOSSES = (
    _Loss(("call.ring",), "no phone rings", Level.PROBLEM),
    _Loss(
        ("call.accepted", "call.session_participant_joined"),
        "Bellhop does not learn who answered, and takes the call for missed",
        Level.PROBLEM,
    ),
    _Loss(
        ("call.rejected", "call.ended", "call.session_ended", "call.deleted"),
        "Bellhop does not learn who declined or hung up: phones may be rung after that",
        Level.PROBLEM,
    ),
    _Loss(("call.missed",), "missed-call notices come some seconds later", Level.WARNING),
    _Loss(("call.notification",), "quiet notifications are not sent", Level.WARNING),
    _Loss(("call.live_started",), "members get no push when a call goes live", Level.WARNING, "push_live_started"),
    _Loss(("call.session_started",), "members get no push when a call begins", Level.WARNING, "push_session_started"),
    _Loss(
        ("call.session_participant_left", "call.member_removed", "call.blocked_user", "call.kicked_user"),
        "people who left or were removed may be rung",
        Level.WARNING,
    ),
    _Loss(
        ("user.deleted", "user.deactivated", "user.reactivated", "user.updated"),
        "deleted or deactivated users may be rung",
        Level.WARNING,
    ),
)
"""Every type of event that Bellhop handles, and what does not work without it."""


class HookCheck(NamedTuple):
    """What checking the hooks of an app needs."""

    settings: Settings
    app: StreamApp
    came_lately: bool
    """Whether a webhook of the app came in the last hour."""


async def findings(
    check: HookCheck, session: aiohttp.ClientSession, secret: str, hooks: Sequence[Hook] | None
) -> AsyncIterator[Finding]:
    """Check the hooks that are for Bellhop; `hooks` is None if Stream could not be asked.

    `secret` is the API secret that Stream accepts.
    """
    subject = f"Stream {check.app.tenant}"
    if hooks is not None:
        for finding in _listed(subject, hooks, check):
            yield finding
    urls = dict.fromkeys(hook.webhook_url for hook in hooks or [] if hook.webhook_url)
    if not hooks:
        urls = {own_webhook.local_url(check.settings): None}
    for url in urls:
        posted = own_webhook.findings(session, check.settings, check.app, secret, url, came_lately=check.came_lately)
        async for finding in posted:
            yield finding


def _listed(subject: str, hooks: Sequence[Hook], check: HookCheck) -> Iterator[Finding]:
    if not hooks:
        sentence = f"has no webhook for Bellhop: add https://<your host>{WEBHOOK_PATH} on Stream's dashboard"
        yield Finding(Level.WARNING if check.came_lately else Level.PROBLEM, subject, sentence)
        return
    ringing = [hook for hook in hooks if hook.sends("call.ring")]
    if len(ringing) > 1:
        destinations = " and ".join(_destination(hook) for hook in ringing)
        number = "two" if len(ringing) == 2 else len(ringing)
        sentence = (
            f"phones may ring twice: {number} hooks lead here, {destinations}. Keep one of them on Stream's dashboard"
        )
        yield Finding(Level.WARNING, subject, sentence)
    needed = [loss for loss in LOSSES if not loss.setting or getattr(check.settings, loss.setting)]
    losses = [(loss, missing) for loss in needed if (missing := _missing(loss, hooks))]
    if losses:
        types = ", ".join(sorted(kind for _, missing in losses for kind in missing))
        level = Level.PROBLEM if any(loss.level is Level.PROBLEM for loss, _ in losses) else Level.WARNING
        sentence = f"does not send all events that Bellhop needs: add {types} to the webhook"
        yield Finding(level, subject, sentence)
        for loss, missing in losses:
            yield Finding(loss.level, subject, f"without {_listed_types(missing)}, {loss.effect}")
    else:
        hosts = {urlsplit(hook.webhook_url).hostname or "" for hook in hooks if hook.webhook_url}
        sentence = f"sends its events to {', '.join(sorted(hosts)) or 'an Amazon queue or topic'}"
        yield Finding(Level.OK, subject, sentence)


def _missing(loss: _Loss, hooks: Sequence[Hook]) -> list[str]:
    return [kind for kind in loss.types if not any(hook.sends(kind) for hook in hooks)]


def _listed_types(types: Sequence[str]) -> str:
    *others, last = types
    return f"{', '.join(others)} and {last}" if others else last


def _destination(hook: Hook) -> str:
    if hook.webhook_url:
        return own_webhook.without_secrets(hook.webhook_url)
    return "an Amazon queue" if hook.sqs_queue_url else "an Amazon topic"
