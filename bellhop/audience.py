"""The destinations of announcements, by the settings, and the commands that put announcements into their outboxes.

Each destination has an outbox for each call: a list in Redis, which one job at a time drains in order
(`worker.announcements.outbox`). Open live streams get an announcement by a channel of Redis.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from bellhop.clock import Micros, iso
from bellhop.domain.announcement import (
    CALLER_TYPES,
    MOVED,
    REMOVED,
    STREAM_DESTINATION,
    TOO_MANY,
    Announcement,
    AnnouncementType,
    device_removed,
)
from bellhop.domain.device import Device
from bellhop.domain.round import Round
from bellhop.queue.job_payloads import OutboxRef, job
from bellhop.queue.names import SEND_EVENTS_JOB, TELL_CALLER_JOB, OutboxJobName
from bellhop.settings import Settings
from bellhop.store import call_scripts
from bellhop.store.keys import live_channel
from bellhop.store.outbox_scripts import fill_outboxes
from bellhop.store.registry import Registered
from bellhop.store.scripts import Command

CALLER_KEEP_S = 3_600
"""How long an outbox for the caller's app is kept after its last announcement. Each announcement is dropped when
its ring ends."""
EVENTS_KEEP_S = 3 * 86_400
"""The same for the team's backend. An event that could not be sent for a day becomes a dead letter."""
DEVICE_ONCE_S = 3_600
"""The removal of one registration is announced only once within this time."""


class Destination(NamedTuple):
    """A receiver of announcements: the callers' apps of all Stream apps, or one endpoint of the team's backend."""

    name: str
    job_name: OutboxJobName
    """The job that drains its outboxes."""
    keep_s: int
    """How long an outbox is kept after its last announcement."""
    types: frozenset[AnnouncementType]
    tenants: frozenset[str] = frozenset()
    """The Stream apps whose announcements it gets. Empty: all."""

    def hears(self, announcement: Announcement) -> bool:
        """Return whether this announcement is sent to the destination."""
        return announcement.type in self.types and (not self.tenants or announcement.tenant in self.tenants)


class Audience(NamedTuple):
    """All receivers of announcements."""

    destinations: tuple[Destination, ...] = ()
    live: bool = False
    """Whether there may be open live streams."""

    def outboxes(self, announcement: Announcement) -> list[dict[str, Any]]:
        """Return the outboxes into which an announcement is put, as `bellhop.store.job_keys` needs them."""
        return [
            outbox_of(destination, announcement.tenant, announcement.subject, announcement.at)
            for destination in self.destinations
            if destination.hears(announcement)
        ]

    def told_of(self, announcement: Announcement) -> dict[str, Any] | None:
        """Return what the script needs to announce something about a round; None if it has no receiver."""
        outboxes = self.outboxes(announcement)
        if not outboxes and not self.live:
            return None
        item: dict[str, Any] = {
            "field": announcement.told_field,
            "at": str(announcement.at),
            "unless": announcement.told_instead,
            "document": announcement.document(),
            "outboxes": outboxes,
        }
        if announcement.because:
            item["because_field"], item["because"] = announcement.because
        if announcement.needs_ringing:
            item["while_ringing"] = announcement.user_id
        if announcement.outlives_round:
            item["outlives_round"] = "1"
        if self.live:
            item["channel"] = live_channel(announcement.tenant, announcement.subject)
        return item

    def tell(self, round_: Round, announcements: Iterable[Announcement]) -> Command | None:
        """Return the command that makes announcements about one round, each once; None if they have no receiver."""
        made = list(announcements)
        items = [item for announcement in made if (item := self.told_of(announcement))]
        return call_scripts.announce(round_, items, iso(made[0].at)) if items else None


def tell_alone(audience: Audience | None, announcement: Announcement, *, once: str = "", once_s: int) -> Command | None:
    """Return the command that announces a removed device or an alarm; None if it has no receiver.

    The command does nothing if it announced something with the same name `once` less than `once_s` ago. By default,
    this name is the announcement's id.
    """
    outboxes = audience.outboxes(announcement) if audience else []
    if not outboxes:
        return None
    once = once or announcement.id
    return fill_outboxes(announcement.document(), outboxes, announcement.at, once=once, once_s=once_s)


def tell_of_removal(
    audience: Audience | None, tenant: str, device: Device, now: Micros, reason: str = REMOVED
) -> Command | None:
    """Return the command that announces that a device has left the registry; None if that has no receiver."""
    return tell_alone(audience, device_removed(tenant, device, now, reason), once_s=DEVICE_ONCE_S)


def tell_of_registration(
    audience: Audience | None, tenant: str, registered: Registered, now: Micros
) -> Iterator[Command]:
    """Yield the commands that announce the devices that left because another was registered."""
    left = [(device, MOVED) for device in registered.moved] + [(device, TOO_MANY) for device in registered.evicted]
    for device, reason in left:
        if told := tell_of_removal(audience, tenant, device, now, reason):
            yield told


def outbox_of(destination: Destination, tenant: str, subject: str, now: Micros) -> dict[str, Any]:
    """Return an outbox as `bellhop.store.job_keys.add_outbox` needs it."""
    payload = OutboxRef(destination=destination.name, tenant=tenant, subject=subject, queued_at=now)
    return {
        "destination": destination.name,
        "tenant": tenant,
        "subject": subject,
        "keep_s": str(destination.keep_s),
        "job": draining_job(destination.job_name, payload),
    }


def draining_job(job_name: OutboxJobName, payload: OutboxRef) -> Mapping[str, str]:
    """Return a job that drains an outbox."""
    return job(f"outbox-{uuid4().hex}", job_name, payload)


def audience(settings: Settings) -> Audience | None:
    """Return the receivers of announcements; None if there are none. Then a ring costs no further command."""
    destinations = []
    if settings.tells_caller:
        destinations.append(Destination(STREAM_DESTINATION, TELL_CALLER_JOB, CALLER_KEEP_S, CALLER_TYPES))
    destinations += [
        Destination(
            endpoint.name,
            SEND_EVENTS_JOB,
            EVENTS_KEEP_S,
            frozenset(endpoint.types or AnnouncementType),
            frozenset(endpoint.tenants or ()),
        )
        for endpoint in settings.event_endpoints
    ]
    return Audience(tuple(destinations), settings.live) if destinations or settings.live else None
