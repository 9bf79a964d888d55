"""Alarms for the team's backend: announced once an hour for all workers, while their cause lasts."""

import json
from types import SimpleNamespace

import pytest

from bellhop.audience import Audience, Destination
from bellhop.domain.announcement import AnnouncementType
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.queue.names import SEND_EVENTS_JOB
from bellhop.store.keys import announced_key, outbox_key
from bellhop.store.redis_clock import RedisClock
from tests.factories import a_push, an_iphone
from worker.alarms import LASTING_S, REPEAT_S, Alarms
from worker.announcements.announcer import Announcer
from worker.delivery.circuit_breaker import REFUSALS_TO_OPEN
from worker.delivery.provider_channel import ProviderChannel
from worker.events_out.endpoint_health import FAILURES_TO_PAUSE, REFUSED_TO_REPORT, EndpointHealth

APP = (Provider.APNS, "com.example.calls")
BACKEND = Destination("backend", SEND_EVENTS_JOB, 600, frozenset(AnnouncementType))
OF_ONE_APP = Destination("one-app", SEND_EVENTS_JOB, 600, frozenset(AnnouncementType), frozenset({"default"}))


@pytest.fixture
def announcer(store):
    return Announcer(store, Audience((BACKEND, OF_ONE_APP)), RedisClock())


def channel(refused="", trouble=None, *, blocked=False):
    return SimpleNamespace(refused=refused, trouble=trouble, blocked=blocked)


async def announced(store, name="backend"):
    documents = await store.call("LRANGE", outbox_key(name, "", "alarm"), 0, -1)
    return [(json.loads(text)["data"]["name"], json.loads(text)["data"]["subject"]) for text in documents]


async def test_refused_credentials_are_announced_once_by_all_workers(store, announcer):
    channels = {APP: channel(refused="InvalidProviderToken")}
    first, second = Alarms(announcer, channels, {}), Alarms(announcer, channels, {})
    for now in (0.0, 1.0, REPEAT_S + 1, 2 * REPEAT_S):
        await first.look(now)
        await second.look(now)
    assert await announced(store) == [("credentials_refused", "apns com.example.calls")]
    assert await announced(store, "one-app") == []
    await store.call("DEL", announced_key("alarm:credentials_refused:apns com.example.calls"))  # an hour later
    await first.look(4 * REPEAT_S)
    assert len(await announced(store)) == 2


async def test_what_passes_within_a_minute_is_no_alarm(store, announcer):
    away = EndpointHealth(failures=FAILURES_TO_PAUSE, reason="HTTP 503")
    channels, endpoints = {APP: channel(blocked=True)}, {"backend": SimpleNamespace(health=away)}
    alarms = Alarms(announcer, channels, endpoints)
    await alarms.look(0.0)
    channels[APP] = channel()
    await alarms.look(1.0)
    channels[APP] = channel(blocked=True)
    await alarms.look(2.0)
    await alarms.look(LASTING_S + 1)
    assert await announced(store) == [("endpoint_away", "backend")]
    await alarms.look(LASTING_S + 2)
    assert await announced(store) == [("endpoint_away", "backend"), ("provider_away", "apns com.example.calls")]


async def test_an_endpoint_that_refuses_every_event_is_an_alarm(store, announcer):
    health = EndpointHealth()
    alarms = Alarms(announcer, {}, {"backend": SimpleNamespace(health=health)})
    for number in range(REFUSED_TO_REPORT):
        assert not health.takes_nothing
        for _ in range(2):
            health.refused("HTTP 400", f"evt_{number}")
    await alarms.look(0.0)
    await alarms.look(LASTING_S)
    assert await announced(store) == [("endpoint_away", "backend")]


async def test_a_phone_of_the_other_environment_is_no_alarm(store, announcer):
    """Any user can register one, and a key of Apple may be valid for one environment only."""

    class OnlyProduction:
        async def send(self, push, timeout_s, start_s):
            return AttemptResult(Outcome.CREDENTIALS_REFUSED, 403, "BadEnvironmentKeyIdInToken")

    channel = ProviderChannel(OnlyProduction(), "apns com.example.calls")
    alarms = Alarms(announcer, {APP: channel}, {})
    for now in (0.0, LASTING_S + 1):
        for _ in range(REFUSALS_TO_OPEN):
            await channel.attempt(a_push(an_iphone(environment=Environment.SANDBOX)), 1, 1)
        await alarms.look(now)
    assert await announced(store) == []


async def test_the_phones_of_another_app_are_an_alarm(store, announcer):
    await Alarms(announcer, {APP: channel(trouble=AttemptResult(Outcome.WRONG_APP))}, {}).look(0.0)
    assert await announced(store) == [("wrong_app", "apns com.example.calls")]


async def test_without_an_endpoint_nothing_is_written(store):
    await Alarms(Announcer(store, None, RedisClock()), {APP: channel(refused="no")}, {}).look(0.0)
    assert await store.call("KEYS", "bellhop:*") == []
