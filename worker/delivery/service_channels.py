"""The channels of one web app: one for each push service, so that a slow or dead service does not delay the others."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bellhop.domain.device import Device
from bellhop.domain.outcomes import AttemptResult
from worker.delivery.provider_channel import ProviderChannel
from worker.providers.sender import Sender


@dataclass
class ServiceChannels:
    """The channels to all push services. It has the same properties as one channel, for the worker's status."""

    sender: Sender
    name: str
    """Provider and app, for the log."""
    limit: int
    """Pushes in flight to one push service, at most."""
    service_of: Callable[[str], str]
    """Returns the push service of an endpoint. There are as many as the settings name."""
    _channels: dict[str, ProviderChannel] = field(default_factory=dict)

    def of(self, device: Device) -> ProviderChannel:
        """Return the channel for a device."""
        service = self.service_of(device.token)
        if service not in self._channels:
            self._channels[service] = ProviderChannel(self.sender, f"{self.name} {service}", self.limit)
        return self._channels[service]

    @property
    def in_flight(self) -> int:
        """Pushes in flight to all push services."""
        return sum(channel.in_flight for channel in self._channels.values())

    @property
    def blocked(self) -> bool:
        """Whether nothing is sent to one of the push services."""
        return any(channel.blocked for channel in self._channels.values())

    @property
    def refused(self) -> str:
        """Why a push service refuses our key, with its host; empty if none does."""
        named = ((name, channel.refused) for name, channel in self._channels.items())
        return next((f"{name}: {reason}" for name, reason in named if reason), "")

    @property
    def trouble(self) -> AttemptResult | None:
        """The answer that shows why pushes to one of the push services do not arrive; None if they do."""
        return next((trouble for channel in self._channels.values() if (trouble := channel.trouble)), None)
