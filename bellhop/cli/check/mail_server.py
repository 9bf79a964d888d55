"""`bellhop check`: the mail server."""

from collections.abc import AsyncIterator
from typing import Any

from redis import Redis

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.domain.outcomes import NOT_TRUSTED, Outcome
from bellhop.settings import Settings
from bellhop.store.keys import METRICS_KEY
from bellhop.telemetry.metrics import MAIL, read_samples

ADVICE = {
    "MAIL FROM": "the server does not accept e-mails from BELLHOP_MAIL_FROM: check the address and the limits of the "
    "account",
    "SSLCertVerificationError": NOT_TRUSTED,
    "SSLError": "the server does not speak TLS on this port: set BELLHOP_SMTP_SECURITY to starttls (usually port 587), "
    "tls (465) or none",
    "STARTTLS": "the server does not offer STARTTLS: set BELLHOP_SMTP_SECURITY to tls (usually port 465) or none",
    "AUTH": "the server offers no login: leave BELLHOP_SMTP_USER empty",
    "gaierror": "unknown host name: check BELLHOP_SMTP_HOST",
    "Refused": "connection refused: check BELLHOP_SMTP_HOST and BELLHOP_SMTP_PORT",
    "Timeout": "no answer in time: check BELLHOP_SMTP_PORT, BELLHOP_SMTP_SECURITY and the firewall",
}
"""What to do, by a word in the reason of a failure. The first word that is found decides."""


NOT_USED = (
    "{count} missed calls led to no e-mail, because the only address was in Stream's custom data, which is not used "
    "any more: set BELLHOP_MAIL_STREAM_ADDRESSES=true to use it, or =false to end this warning (docs/mail.md)"
)


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check the mail server, and whether addresses are not used that earlier versions used."""
    yield await finding(settings)
    sums = await read_redis(settings, _sums)
    count = read_samples(sums or {}).get((MAIL.name, Outcome.STREAM_ADDRESS), 0)
    if count and "mail_stream_addresses" not in settings.model_fields_set:
        yield Finding(Level.WARNING, "e-mails", NOT_USED.format(count=count))


def _sums(redis: Redis) -> Any:
    return redis.hgetall(METRICS_KEY)


async def finding(settings: Settings) -> Finding:
    """Connect, log in and name the sender address, without sending an e-mail."""
    from worker.providers.smtp import LOGIN_REFUSED, smtp_sender  # noqa: PLC0415 - see tests/test_architecture.py

    subject = f"SMTP {settings.smtp_host}:{settings.smtp_port}"
    result = await smtp_sender(settings).validate()
    if result.outcome is Outcome.MAIL_ACCEPTED:
        what = "login" if settings.smtp_user else "connection"
        return Finding(Level.OK, subject, f"accepts the {what} and the sender address")
    answer = f"{result.status or ''} {result.reason}".strip()
    if result.status in LOGIN_REFUSED:
        advice = "the login was refused: check BELLHOP_SMTP_USER and BELLHOP_SMTP_PASSWORD"
    else:
        advice = next((advice for word, advice in ADVICE.items() if word in result.reason), "the server refused")
    return Finding(Level.PROBLEM, subject, f"{advice} ({answer})")
