"""Announces what is not about a ring: a removed device, an alarm."""

from functools import partial

from bellhop.audience import Audience, tell_alone, tell_of_removal
from bellhop.domain.announcement import alarm
from bellhop.domain.device import Device
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command

ALARM_ONCE_S = 3_600
"""While its cause lasts, an alarm is repeated after this time."""


class Announcer:
    """Puts announcements into the outboxes of those who hear of them."""

    def __init__(self, store: Store, audience: Audience | None, clock: RedisClock) -> None:
        self._store, self._audience, self._clock = store, audience, clock

    async def device_removed(self, tenant: str, device: Device, reason: str) -> None:
        """Announce that a device left the registry."""
        await self._run(tell_of_removal(self._audience, tenant, device, self._clock.now(), reason))

    async def alarm(self, name: str, subject: str, sentence: str) -> None:
        """Announce an alarm, at most once in `ALARM_ONCE_S` for all workers together."""
        announcement, once = alarm(name, subject, sentence, self._clock.now()), f"alarm:{name}:{subject}"
        await self._run(tell_alone(self._audience, announcement, once=once, once_s=ALARM_ONCE_S))

    async def _run(self, command: Command | None) -> None:
        if command is not None:
            await until_redis_answers(partial(self._store.script, *command))
