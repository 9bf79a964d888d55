"""The channels of one web app: one for each host of a push service, so that a slow or dead host delays no other."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from bellhop.domain.device import Device
from bellhop.domain.outcomes import AttemptResult
from bellhop.domain.web_push import push_host
from worker.delivery.provider_channel import ProviderChannel
from worker.providers.sender import Sender

MOST_HOSTS = 100
"""Hosts that have a channel. Some push services have hundreds, and a user's app chooses the endpoint."""


@dataclass
class ServiceChannels:
    """The channels to all push services. It has the same properties as one channel, for the worker's status."""

    sender: Sender
    name: str
    """Provider and app, for the log."""
    limit: int
    """Pushes in flight to one host, at most."""
    _channels: OrderedDict[str, ProviderChannel] = field(default_factory=OrderedDict)
    """By host. The host that was not used for longest is forgotten."""

    def of(self, device: Device) -> ProviderChannel:
        """Return the channel for a device."""
        host = push_host(device.token)
        if host not in self._channels:
            self._channels[host] = ProviderChannel(self.sender, f"{self.name} {host}", self.limit)
        self._channels.move_to_end(host)
        if len(self._channels) > MOST_HOSTS:
            self._channels.popitem(last=False)
        return self._channels[host]

    @property
    def in_flight(self) -> int:
        """Pushes in flight to all push services."""
        return sum(channel.in_flight for channel in self._channels.values())

    @property
    def blocked(self) -> bool:
        """Whether one of the push services does not serve us, as far as is known."""
        return any(channel.blocked for channel in self._judged().values())

    @property
    def refused(self) -> str:
        """Why a push service refuses our key, with its host; empty if none does."""
        named = ((name, channel.refused) for name, channel in self._judged().items())
        return next((f"{name}: {reason}" for name, reason in named if reason), "")

    @property
    def trouble(self) -> AttemptResult | None:
        """The answer that shows why pushes to one of the push services do not arrive; None if they do."""
        return next((trouble for channel in self._judged().values() if (trouble := channel.trouble)), None)

    def _judged(self) -> Mapping[str, ProviderChannel]:
        """Return the channels that tell how the app does: those that have accepted a push, or all if none has.

        Any user can register an endpoint at a host that serves nobody.
        """
        accepted = {host: channel for host, channel in self._channels.items() if channel.has_accepted}
        return accepted or self._channels
