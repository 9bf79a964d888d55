"""Finds out what needs an operator, and announces it to the team's backend."""

import asyncio
import time
from collections.abc import Iterator, Mapping

from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Outcome
from bellhop.explain.sentences import PROVIDERS
from worker.announcements.announcer import Announcer
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.service_channels import ServiceChannels
from worker.events_out.event_channel import EventChannel

EVERY_S = Seconds(5.0)
LASTING_S = Seconds(60.0)
"""A provider or endpoint that does not answer is an alarm after this time."""
REPEAT_S = Seconds(300.0)
"""A worker repeats an alarm after this time if its cause lasts. `ALARM_ONCE_S` then decides whether it is announced."""

Cause = tuple[str, str]
"""The kind of an alarm, and what it is about."""


class Alarms:
    """Watches this worker's channels to providers and endpoints."""

    def __init__(
        self,
        announcer: Announcer,
        channels: Mapping[tuple[Provider, str], ProviderChannel | ServiceChannels],
        endpoints: Mapping[str, EventChannel],
    ) -> None:
        self._announcer, self._channels, self._endpoints = announcer, channels, endpoints
        self._since: dict[Cause, float] = {}
        """Since when a cause lasts, by the monotonic clock."""
        self._announced: dict[Cause, float] = {}

    async def keep_watching(self) -> None:
        """Announce each alarm, again and again while its cause lasts."""
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(EVERY_S)

    async def look(self, now: float) -> None:
        """Announce what is wrong now."""
        seen = {(name, subject): (lasting_s, sentence) for name, subject, lasting_s, sentence in self._wrong()}
        self._since = {cause: self._since.get(cause, now) for cause in seen}
        self._announced = {cause: at for cause, at in self._announced.items() if cause in seen}
        for cause, (lasting_s, sentence) in seen.items():
            is_due = now - self._since[cause] >= lasting_s
            if is_due and now - self._announced.get(cause, -REPEAT_S) >= REPEAT_S:
                await self._announcer.alarm(*cause, sentence)
                self._announced[cause] = now

    def _wrong(self) -> Iterator[tuple[str, str, float, str]]:
        """Yield the kind, the subject, how long it must last, and a sentence, of everything that is wrong."""
        for (provider, app), channel in self._channels.items():
            who, subject = PROVIDERS.get(provider, provider), f"{provider} {app}"
            trouble = channel.trouble
            if channel.refused:
                yield (
                    "credentials_refused",
                    subject,
                    0.0,
                    f"{who} refuses the credentials of {app} ({channel.refused}).",
                )
            elif trouble and trouble.outcome is Outcome.WRONG_APP:
                yield "wrong_app", subject, 0.0, f"{who} says that the phones of {app} belong to another app."
            elif channel.blocked:
                yield "provider_away", subject, LASTING_S, f"{who} does not serve the pushes of {app}."
        for name, endpoint in self._endpoints.items():
            if reason := endpoint.health.takes_nothing:
                sentence = f"The endpoint {name} does not accept events ({reason})."
                yield "endpoint_away", name, LASTING_S, sentence
