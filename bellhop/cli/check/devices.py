"""`bellhop check`: the registered devices. Is each of them of an app with credentials, and can it ring?"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from redis import Redis

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.clock import Seconds
from bellhop.domain.device import Device, Kind, Provider
from bellhop.domain.outcomes import ADVICE_BY_REASON, MEANING, Outcome
from bellhop.domain.plan import suits
from bellhop.domain.push import PushKind
from bellhop.domain.web_push import host_of, service_of
from bellhop.queue.worker_status import apps_of_workers
from bellhop.settings import FcmApp, Settings
from bellhop.store.registered_devices import (
    called_users,
    demoted_phones,
    devices_by_user,
    differ_in_capitals,
    only_for_notices,
)

SEARCH_S = Seconds(5.0)
"""How long one walk over all keys may take. With millions of keys, only some of the users are checked."""
TRIED_TOKENS = 3
"""How many of the phones' tokens Google is asked about, for each Firebase project."""
DEMOTED = (
    "their last three rings or more with normal priority, although Bellhop sends them as high: let the app show a "
    "notification for every push (docs/phones.md)"
)
OTHER_CAPITALS = "a user has no devices, but a user whose id differs in capitals only has some"
SAME_ID = "Register devices under the id that Stream uses"
APPS = {Provider.APNS: "iOS app", Provider.FCM: "Firebase project", Provider.WEB_PUSH: "web app"}
NAMED_HOSTS = NAMED_USERS = 3
WHO = "`bellhop check` says who"

Users = Mapping[str, Sequence[Device]]


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check the devices of each Stream app's users."""
    for tenant in settings.tenants:
        read = await read_redis(settings, lambda redis, tenant=tenant: _read(redis, settings, tenant))  # type: ignore[misc]
        if read is None:
            return
        users, called, known, demoted = read
        for finding in _findings(users, called, known, settings.web_push_services):
            yield finding
        if demoted:
            yield Finding(Level.WARNING, "devices", f"{_demoted(demoted)} {DEMOTED}")
        for project in settings.fcm_apps:
            if finding_ := await _ask_google(settings, project, users):
                yield finding_


def _read(
    redis: Redis, settings: Settings, tenant: str
) -> tuple[Users, frozenset[str], frozenset[tuple[str, str]], int]:
    users = devices_by_user(redis, tenant, SEARCH_S)
    known = settings.push_apps | apps_of_workers(redis)
    return users, called_users(redis, tenant, SEARCH_S), known, demoted_phones(redis, tenant, SEARCH_S)


def _findings(
    users: Users, called: frozenset[str], known: frozenset[tuple[str, str]], services: Sequence[str]
) -> Iterator[Finding]:
    if known:
        yield from _without_credentials(users, known)
    if silent := {user_id: len(devices) for user_id, devices in sorted(users.items()) if _only_notices(devices)}:
        kept = f"{_users(len(silent))} devices for notices and none for calls. {WHO}"
        yield Finding(Level.WARNING, "devices", only_for_notices(silent), kept)
    if users:
        sentence = (
            f"{_users(len(users))} devices. Their push preferences at Stream (call_level) cannot be read; Bellhop "
            "knows those that Stream's events carry (docs/people.md)"
        )
        yield Finding(Level.OK, "devices", sentence)
    by_folded: dict[str, dict[str, int]] = {}
    for user_id, devices in sorted(users.items()):
        by_folded.setdefault(user_id.casefold(), {})[user_id] = len(devices)
    for user_id in sorted(called - users.keys()):
        if sentence := differ_in_capitals(user_id, by_folded.get(user_id.casefold(), {})):
            yield Finding(Level.WARNING, "devices", f"{sentence}. {SAME_ID}", f"{OTHER_CAPITALS}. {SAME_ID}. {WHO}")
    yield from _of_unknown_push_services(users, services)
    yield from _of_alert_rings(users)


def _without_credentials(users: Users, known: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    devices = Counter((device.provider, device.app) for of_user in users.values() for device in of_user)
    for (provider, app), count in sorted(devices.items()):
        if (provider, app) in known:
            continue
        ours = ", ".join(sorted(name for other, name in known if other == provider))
        there_are = f"the credentials are of {ours}" if ours else "there are no credentials of this provider"
        sentence = f"{_devices(count)} of the {APPS[provider]} {app}, but {there_are}: none of these phones rings"
        yield Finding(Level.PROBLEM, f"{provider} {app}", f"{sentence}. Add the credentials, or register the right app")


def _of_unknown_push_services(users: Users, services: Sequence[str]) -> Iterator[Finding]:
    """Warn of browsers whose push service is not in the settings any more, or not in those of this machine."""
    browsers = (device for of_user in users.values() for device in of_user if device.provider is Provider.WEB_PUSH)
    hosts = Counter(host_of(browser.token) for browser in browsers if service_of(browser.token, services) is None)
    if hosts:
        named = ", ".join(host for host, _ in hosts.most_common(NAMED_HOSTS))
        sentence = f"{_devices(hosts.total())} at push services ({named}) to which Bellhop does not send"
        yield Finding(Level.WARNING, "Web Push", f"{sentence}: {ADVICE_BY_REASON['UNKNOWN_PUSH_SERVICE']}")


def _of_alert_rings(users: Users) -> Iterator[Finding]:
    """Count the users with iPhones that ring by alerts. Warn if CallKit may ring such an iPhone too."""
    by_alert = [user_id for user_id, devices in sorted(users.items()) if any(one.rings_by_alert for one in devices)]
    unsure = [user_id for user_id in by_alert if any(map(_may_ring_by_callkit, users[user_id]))]
    if unsure:
        named = ", ".join(unsure[:NAMED_USERS]) + (", …" if len(unsure) > NAMED_USERS else "")
        both = f"{_users(len(unsure))} both an iPhone that rings by alerts and a VoIP token without hardware_id"
        advice = (
            "If both belong to the same iPhone, CallKit rings it too. Let the app register the VoIP token with the "
            "hardware_id, or not register it"
        )
        yield Finding(Level.WARNING, "alert rings", f"{both} ({named}). {advice}", f"{both}. {advice}. {WHO}")
    elif by_alert:
        yield Finding(Level.OK, "alert rings", f"{_users(len(by_alert))} an iPhone that rings by alerts")


def _may_ring_by_callkit(device: Device) -> bool:
    return device.kind is Kind.VOIP and not device.hardware_id


def _only_notices(devices: Sequence[Device]) -> bool:
    """Return whether all devices are iPhones' tokens for notices. A token of Google serves for calls too."""
    return bool(devices) and not any(suits(PushKind.RING, device) for device in devices)


async def _ask_google(settings: Settings, project: FcmApp, users: Users) -> Finding | None:
    """Ask Google about some tokens, without sending anything: are the service account and Firebase's keys right?"""
    from worker.providers.configured import fcm_sender  # noqa: PLC0415 - see tests/test_architecture.py

    devices = [device for of_user in users.values() for device in of_user if device.provider is Provider.FCM]
    ours = [device for device in devices if device.app == project.project_id]
    tried = sorted(ours, key=lambda device: -device.registered_at)[:TRIED_TOKENS]
    if not tried:
        return None
    try:
        sender = fcm_sender(project, settings)
    except ValueError:  # the check of the credentials says so
        return None
    try:
        answers = [await sender.validate(device.token) for device in tried]
    finally:
        await sender.close()
    subject, outcomes = f"Firebase {project.project_id}", {answer.outcome for answer in answers}
    if Outcome.NO_APNS_KEY in outcomes:
        meaning = MEANING[Outcome.NO_APNS_KEY]
        sentence = f"{meaning.sentence}. {meaning.advice}".format(provider="Google", app=project.project_id)
        return Finding(Level.WARNING, subject, sentence.removesuffix("."))
    if outcomes != {Outcome.WRONG_APP}:
        return None
    sentence = (
        f"the service account is of the project {project.project_id}, and Google says that the phones' tokens are of "
        f"another project ({answers[0].status} {answers[0].reason}): every Android phone gets this answer. Use a "
        "service account of the project in the app's google-services.json"
    )
    return Finding(Level.PROBLEM, subject, sentence)


def _demoted(count: int) -> str:
    return "1 phone got" if count == 1 else f"{count} phones got"


def _users(count: int) -> str:
    return f"{count} user has" if count == 1 else f"{count} users have"


def _devices(count: int) -> str:
    return f"{count} device is" if count == 1 else f"{count} devices are"
