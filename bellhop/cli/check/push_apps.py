"""`bellhop check`: the credentials for Apple and Google."""

import ssl
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from redis.exceptions import RedisError

from bellhop.cli.check import push_services
from bellhop.cli.check.finding import Finding, Level
from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Environment, Kind, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome, advice_on
from bellhop.domain.push import Push, PushKind
from bellhop.pem_key import read_pem_key
from bellhop.settings import ApnsApp, FcmApp, Settings
from bellhop.store.async_client import Store
from bellhop.store.keys import brake_key

if TYPE_CHECKING:
    from worker.providers.apns.apns_sender import ApnsSender

UNKNOWN_TOKEN = "0" * 64
"""A push token that no phone has. A provider that answers "unknown token" has accepted the credentials."""
CREDENTIALS_ACCEPTED = {Outcome.ACCEPTED, Outcome.BAD_TOKEN, Outcome.TOKEN_DEAD, Outcome.WRONG_APP}
"""The provider's answers to UNKNOWN_TOKEN if the credentials are right."""
TIMEOUT_S = Seconds(10.0)
EXPIRES_SOON_DAYS = 30


async def findings(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    """Send a push to a token that does not exist, with the credentials of each app."""
    if not settings.push_apps:
        sentence = "no credentials for Apple or Google are configured: no phone can ring (docs/getting-started.md)"
        yield Finding(Level.PROBLEM, "providers", sentence)
    for app in settings.apns_apps:
        async for finding in _apns(app, settings, store):
            yield finding
    for project in settings.fcm_apps:
        yield await _fcm(project, settings)
    async for finding in push_services.findings(settings):
        yield finding
    async for finding in _brakes(settings, store):
        yield finding


async def _apns(app: ApnsApp, settings: Settings, store: Store) -> AsyncIterator[Finding]:
    from worker.providers.configured import apns_sender  # noqa: PLC0415 - see tests/test_architecture.py

    credentials = list(_apns_credentials(app, f"Apple {app.topic}"))
    for finding in credentials:
        yield finding
    if any(finding.level is Level.PROBLEM for finding in credentials):
        return
    sender = apns_sender(app, settings, store)
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
            yield Finding(Level.WARNING, subject, f"the {name} {value!r} should have ten characters")
    key = read_pem_key(app.key_file.read_bytes() if app.key_file else b"")
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
        sentence = "the key file is not a .p8 signing key: download it from Apple's developer site (Keys, APNs)"
        yield Finding(Level.PROBLEM, subject, sentence)


def _certificate(path: Path, topic: str, subject: str) -> Iterator[Finding]:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        ssl.create_default_context().load_cert_chain(path)
    except (ValueError, ssl.SSLError):
        sentence = "the certificate file must contain a certificate and its private key, as PEM without a password"
        yield Finding(Level.PROBLEM, subject, sentence)
        return
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if days < 0:
        yield Finding(Level.PROBLEM, subject, "the certificate has expired")
    else:
        level = Level.WARNING if days < EXPIRES_SOON_DAYS else Level.OK
        yield Finding(level, subject, f"the certificate expires in {days} days")
    names = [str(name.value) for name in certificate.subject]
    if topic not in " ".join(names):
        yield Finding(Level.WARNING, subject, f"the certificate is for {', '.join(names)}, not for this bundle id")


async def _apns_answer(sender: "ApnsSender", app: ApnsApp, environment: Environment) -> Finding:
    device = Device(
        user_id="check",
        provider=Provider.APNS,
        kind=Kind.ALERT,
        token=UNKNOWN_TOKEN,
        app=app.topic,
        environment=environment,
    )
    push = Push(
        id="00000000-0000-4000-8000-000000000000",
        kind=PushKind.NOTIFICATION,
        device=device,
        payload={"aps": {}},
        deadline=micros(Seconds(time.time() + 60)),
    )
    return _credentials(f"Apple {app.topic} ({environment})", await sender.send(push, TIMEOUT_S))


async def _fcm(app: FcmApp, settings: Settings) -> Finding:
    from worker.providers.configured import fcm_sender  # noqa: PLC0415 - see tests/test_architecture.py

    subject = f"Firebase {app.project_id}"
    try:
        sender = fcm_sender(app, settings)
    except ValueError as error:
        return Finding(Level.PROBLEM, subject, str(error))
    try:
        result = await sender.validate(UNKNOWN_TOKEN, TIMEOUT_S)
    finally:
        await sender.close()
    return _credentials(subject, result)


def _credentials(subject: str, result: AttemptResult) -> Finding:
    if result.outcome in CREDENTIALS_ACCEPTED:
        return Finding(Level.OK, subject, "accepts the credentials")
    answer = " ".join(str(part) for part in (result.status or "", result.reason) if part) or result.outcome
    if advice := advice_on(result):
        return Finding(Level.PROBLEM, subject, f"{advice} ({answer})")
    return Finding(Level.PROBLEM, subject, f"refuses the push with {answer}: see docs/troubleshooting.md")


async def _brakes(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    """Warn about apps whose dead tokens are kept, because too many died at once."""
    for provider, app in sorted(settings.push_apps):
        try:
            dead = await store.call("GET", brake_key(provider, app))
        except RedisError:
            return  # reported already
        if dead:
            sentence = (
                f"{int(dead)} tokens were rejected within minutes. Bellhop now removes none for an hour, because the "
                "credentials may be wrong: check them"
            )
            yield Finding(Level.WARNING, f"{provider} {app}", sentence)
