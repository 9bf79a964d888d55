"""`bellhop check`: try everything that is configured, and name the usual mistakes with what to do about each."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from redis.exceptions import RedisError

from bellhop.cli.check import redis as redis_checks
from bellhop.cli.check import stream as stream_checks
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.output import plain
from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.settings import ApnsApp, FcmApp, Settings
from bellhop.store.async_client import Store
from bellhop.store.keys import brake_key

if TYPE_CHECKING:
    from worker.providers.apns.apns_sender import ApnsSender

NOBODY = "0" * 64
"""A device token that no phone has: a provider that calls it unknown has let us in."""
TIMEOUT_S = Seconds(10.0)
EXPIRES_SOON_DAYS = 30

NOT_TRUSTED = "the server's certificate is not trusted: check the CA file"
NO_CONNECTION = "no connection: check the URL, the firewall (Apple: TCP 443 or 2197) and the proxy"
KNOWN = {
    "InvalidProviderToken": "Apple does not know this key: check its id, your team id, and that it is not revoked",
    "ExpiredProviderToken": "Apple finds our token too old: set this clock right (NTP)",
    "TopicDisallowed": "these credentials may not push to this bundle id: check the topic, and the certificate's app",
    "BadCertificateEnvironment": "the certificate is for Apple's other environment",
    "BadEnvironmentKeyIdInToken": "the key is limited to Apple's other environment: create one for both",
    "UnrelatedKeyIdInToken": "the key is limited to other bundle ids: create one for this app",
    "SERVICE_DISABLED": "the FCM API is switched off for this project: enable it in the Google Cloud console",
    "TOKEN_REFUSED": "Google does not take the service account's key: it was deleted, or this machine's clock is wrong",
    "TOKEN_ENDPOINT": "the service account's token_uri cannot be reached: check the network and the CA file",
    "SSLCertVerificationError": NOT_TRUSTED,
    "CERTIFICATE": NOT_TRUSTED,
    "gaierror": "this machine knows no host of that name: check the URL and the DNS",
    "cannot connect": NO_CONNECTION,
    "CONNECT": NO_CONNECTION,
}
"""What the word in a reason most often means, and what to do; the first that is found counts."""


SMTP_KNOWN = {
    "SSLCertVerificationError": NOT_TRUSTED,
    "SSLError": "no TLS there: set BELLHOP_SMTP_SECURITY to starttls (mostly port 587), tls (465) or none",
    "STARTTLS": "no STARTTLS there: set BELLHOP_SMTP_SECURITY to tls (mostly port 465) or none",
    "AUTH": "no login there: leave BELLHOP_SMTP_USER unset",
    "gaierror": "there is no host of that name: check BELLHOP_SMTP_HOST",
    "Refused": "nothing listens there: check BELLHOP_SMTP_HOST and BELLHOP_SMTP_PORT",
    "Timeout": "no answer: check BELLHOP_SMTP_PORT, BELLHOP_SMTP_SECURITY and the firewall",
}
"""The same for a mail server."""


COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


async def check(settings: Settings) -> int:
    """Try everything and print each finding; returns 1 if there is a problem, else 0."""
    worst = 0
    store = Store.from_url(settings.redis_url)
    try:
        async for finding in _findings(settings, store):
            worst = max(worst, finding.level is Level.PROBLEM)
            mark = click.style(f"{finding.level:8}", fg=COLORS[finding.level])
            click.echo(f"{mark} {plain(f'{finding.subject}: {finding.sentence}')}")
    finally:
        await store.close()
    return worst


async def _findings(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    async for finding in redis_checks.findings(store, settings.redis_wait_replicas):
        yield finding
    stream = list(_stream(settings))
    for finding in stream:
        yield finding
    if all(finding.level is Level.OK for finding in stream):
        async for finding in stream_checks.findings(settings):
            yield finding
    for app in settings.apns_apps:
        async for finding in _apns(app, settings, store):
            yield finding
    for project in settings.fcm_apps:
        yield await _fcm(project, settings)
    if not settings.apns_apps and not settings.fcm_apps:
        yield Finding(Level.PROBLEM, "providers", "neither Apple nor Firebase is configured: nothing can ring")
    if settings.smtp_host:
        yield await _smtp(settings)
    async for finding in _brakes(settings, store):
        yield finding


def _stream(settings: Settings) -> Iterator[Finding]:
    if not settings.stream_apps:
        sentence = "no app is configured here: the web process needs BELLHOP_STREAM_API_KEY and its secret"
        yield Finding(Level.WARNING, "Stream", sentence)
    for app in settings.stream_apps:
        secrets = [secret.get_secret_value() for secret in app.api_secrets]
        if set(secrets) & set(app.api_keys):
            sentence = "an API key stands where its secret should: copy the secret from Stream's dashboard"
            yield Finding(Level.PROBLEM, f"Stream {app.tenant}", sentence)
        else:
            yield Finding(Level.OK, f"Stream {app.tenant}", f"{len(secrets)} secret(s) for {', '.join(app.api_keys)}")


async def _apns(app: ApnsApp, settings: Settings, store: Store) -> AsyncIterator[Finding]:
    subject = f"Apple {app.topic}"
    credentials = list(_apns_credentials(app, subject))
    for finding in credentials:
        yield finding
    if any(finding.level is Level.PROBLEM for finding in credentials):
        return
    from worker.providers.configured import apns  # noqa: PLC0415 - see tests/test_architecture.py

    sender = apns(app, settings, store)
    try:
        for environment in Environment:
            yield await _apns_answer(sender, app, environment)
    finally:
        await sender.close()


def _apns_credentials(app: ApnsApp, subject: str) -> Iterator[Finding]:
    if app.certificate_file is not None:
        yield from _certificate(app.certificate_file, app.topic, subject)
        return
    for name, value in (("key id", app.key_id), ("team id", app.team_id)):
        if len(value) != 10:
            yield Finding(Level.WARNING, subject, f"the {name} {value!r} has not ten characters, as Apple's have")
    try:
        key = load_pem_private_key(app.key_file.read_bytes() if app.key_file else b"", None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        sentence = "the key file is no .p8 signing key: download it from Apple's developer site (Keys, APNs)"
        yield Finding(Level.PROBLEM, subject, sentence)


def _certificate(path: Path, topic: str, subject: str) -> Iterator[Finding]:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.create_default_context().load_cert_chain(path)
    except (ValueError, ssl.SSLError):
        sentence = "the certificate file must hold a certificate and its private key, both PEM, without a password"
        yield Finding(Level.PROBLEM, subject, sentence)
        return
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    level = Level.PROBLEM if days < 0 else Level.WARNING if days < EXPIRES_SOON_DAYS else Level.OK
    yield Finding(level, subject, f"the certificate expires in {days} days" if days >= 0 else "the certificate expired")
    names = [str(name.value) for name in certificate.subject]
    if topic not in " ".join(names):
        yield Finding(Level.WARNING, subject, f"the certificate names {', '.join(names)}, not this bundle id")


async def _apns_answer(sender: "ApnsSender", app: ApnsApp, environment: Environment) -> Finding:
    device = Device(user_id="check", provider=Provider.APNS, kind=Kind.ALERT, token=NOBODY, app=app.topic,
                    environment=environment)  # fmt: skip
    push = Push(
        id="00000000-0000-4000-8000-000000000000",
        kind=PushKind.NOTIFICATION,
        device=device,
        payload={"aps": {}},
        deadline=micros(time.time() + 60),
    )
    answer = await sender.send(push, TIMEOUT_S)
    return _judge(f"Apple {app.topic} ({environment})", answer)


async def _fcm(app: FcmApp, settings: Settings) -> Finding:
    from worker.providers.configured import fcm  # noqa: PLC0415 - see tests/test_architecture.py

    sender = fcm(app, settings)
    try:
        answer = await sender.validate(NOBODY, TIMEOUT_S)
    finally:
        await sender.close()
    return _judge(f"Firebase {app.project_id}", answer)


async def _smtp(settings: Settings) -> Finding:
    subject = f"SMTP {settings.smtp_host}:{settings.smtp_port}"
    from worker.email.assembly import sender_of  # noqa: PLC0415 - see tests/test_architecture.py
    from worker.providers.smtp import OPERATORS_CODES  # noqa: PLC0415 - see tests/test_architecture.py

    answer = await sender_of(settings).validate()
    if answer.outcome is Outcome.MAIL_ACCEPTED:
        return Finding(Level.OK, subject, "takes our login" if settings.smtp_user else "lets us in")
    advice = next((advice for word, advice in SMTP_KNOWN.items() if word in answer.reason), "the server's own words")
    if answer.status in OPERATORS_CODES:
        advice = "check BELLHOP_SMTP_USER and BELLHOP_SMTP_PASSWORD"
    return Finding(Level.PROBLEM, subject, f"{answer.status or ''} {answer.reason}: {advice}".strip())


def advice_on(answer: AttemptResult) -> str:
    """What to do about a provider's answer; empty where that is not known."""
    return next((advice for word, advice in KNOWN.items() if word in answer.reason), "")


def _judge(subject: str, answer: AttemptResult) -> Finding:
    """A provider that does not know the token has accepted everything else."""
    if answer.outcome in {Outcome.ACCEPTED, Outcome.BAD_TOKEN, Outcome.TOKEN_DEAD, Outcome.WRONG_APP}:
        return Finding(Level.OK, subject, "takes our credentials")
    advice = advice_on(answer) or "see docs/troubleshooting.md"
    said = " ".join(str(part) for part in (answer.status or "", answer.reason) if part) or answer.outcome
    return Finding(Level.PROBLEM, subject, f"{said}: {advice}")


async def _brakes(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    apps = [(Provider.APNS, app.topic) for app in settings.apns_apps]
    apps += [(Provider.FCM, app.project_id) for app in settings.fcm_apps]
    for app in apps:
        try:
            dying = await store.call("GET", brake_key(*app))
        except RedisError:
            return
        if dying:
            sentence = f"{int(dying)} tokens died within minutes, so none is removed for an hour: check the credentials"
            yield Finding(Level.WARNING, f"{app[0]} {app[1]}", sentence)


def run(settings: Settings) -> int:
    """Run `check` in a loop of its own."""
    return asyncio.run(check(settings))
