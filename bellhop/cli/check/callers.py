"""`bellhop check`: whether Stream takes what Bellhop tells callers' apps, and what Bellhop can tell them."""

from collections.abc import AsyncIterator
from uuid import uuid4

from bellhop.cli.check.finding import Finding, Level
from bellhop.settings import Settings
from bellhop.stream_api import StreamApi, StreamRefused

GUIDE = "docs/caller.md"


async def findings(settings: Settings, api: StreamApi, subject: str) -> AsyncIterator[Finding]:
    """Check the custom events of one Stream app, if Bellhop sends any."""
    if not settings.tells_caller:
        return
    yield await _events(api, subject)
    if not settings.receipt_secret.get_secret_value():
        sentence = "callers' apps never hear that a phone rings, since phones cannot report it"
        yield Finding(Level.WARNING, subject, f"{sentence}: set BELLHOP_RECEIPT_SECRET ({GUIDE})")


async def _events(api: StreamApi, subject: str) -> Finding:
    """Send an event to a call that does not exist: nobody receives it, and Stream says whether it would take one."""
    try:
        await api.send_event(f"default:bellhop-check-{uuid4()}", "bellhop-check", {"type": "bellhop.check"})
    except StreamRefused as refused:
        if refused.permanent:
            sentence = f"does not let this secret send custom events of calls ({refused}): callers' apps hear nothing"
            return Finding(Level.PROBLEM, subject, f"{sentence}. Check the app's permissions at Stream ({GUIDE})")
        if refused.status not in (400, 404):
            sentence = f"could not be asked whether it takes custom events of calls ({refused})"
            return Finding(Level.WARNING, subject, sentence)
    return Finding(Level.OK, subject, "takes custom events of calls: callers' apps hear about their rings")
