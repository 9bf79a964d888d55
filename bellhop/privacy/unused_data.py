"""Removes devices and contacts that were not used for a number of days, if the settings say so. No I/O.

A use is something that the user's app or the team's backend does: a registration, a report of a phone, a contact or
preferences that are written. An accepted push is not a use: providers also accept pushes to a phone in a drawer.
Preferences stay: they are the user's wishes not to be disturbed.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.domain.device import Device
from bellhop.domain.phone import NEVER_HEARD_OF, PhoneRecord, read_record
from bellhop.domain.user import Contact, Preferences
from bellhop.privacy.entries import Entry
from bellhop.privacy.key_kinds import DEVICES, Found, known_kind, parts_of, read_entries
from bellhop.privacy.walk import KEYS_AT_ONCE, next_keys, replace
from bellhop.store import registry
from bellhop.store.homes import Partition
from bellhop.store.keys import OURS, devices_key, phones_key, start_of, user_key
from bellhop.store.scanning import Walk, walk_over
from bellhop.store.scripts import Command
from bellhop.store.steps import Steps, side_by_side

DAY_US = 24 * 3600 * MICROS_PER_SECOND
MILLISECOND_US = 1_000
OF_USERS = (DEVICES, start_of(user_key("", "")))
"""The starts of the keys that are looked at."""
FIELDS = ("contact", "preferences", registry.WRITTEN_AT)

FEWEST_BRAKED, MOST_PERCENT = 20, 50
"""If an app has at least so many unused devices, and they are more than this share of its devices, none is removed: the
app probably does not register again when it starts, and people use these phones."""

AppOfTenant = tuple[str, str, str]
"""The tenant, the provider and the app of a device."""
Tell = Callable[[str, Device, Micros], Command | None]
"""Returns the command that announces a removed device of a tenant; None if no destination gets it."""


class KeptDays(NamedTuple):
    """How many days without a use something is kept; 0 for good."""

    devices: int
    contacts: int


class StoredUser(NamedTuple):
    """What Redis has of one user."""

    tenant: str
    user_id: str
    devices: Sequence[Device]
    records: Mapping[str, PhoneRecord]
    """What the phones reported, by device key."""
    fields: Mapping[str, bytes]
    """Of FIELDS, those that the user has."""

    def last_use(self, device: Device) -> Micros:
        """Return when the device was last registered, or reported something."""
        record = self.records.get(device.key, NEVER_HEARD_OF)
        return max(device.registered_at, Micros(max(record.last_receipt_ms, record.health_at_ms) * MILLISECOND_US))

    def is_unused(self, device: Device, days: int, now: Micros) -> bool:
        """Return whether the device was not used for so many days; with 0 days, it never is."""
        return bool(days) and self.last_use(device) < now - days * DAY_US

    def app_of(self, device: Device) -> AppOfTenant:
        """Return the app that registered the device."""
        return self.tenant, device.provider, device.app


class AppCount(NamedTuple):
    """How many devices an app has, and how many of them are unused."""

    devices: int = 0
    unused: int = 0

    @property
    def is_braked(self) -> bool:
        """Whether none of them may be removed."""
        return self.unused >= FEWEST_BRAKED and self.unused * 100 > self.devices * MOST_PERCENT


def count_unused(days: int, among: Sequence[Partition]) -> Steps[dict[AppOfTenant, AppCount]]:
    """Look at the devices of all users, and count those of each app."""
    counts: dict[AppOfTenant, AppCount] = {}
    walk: Walk | None = walk_over([OURS], among, KEYS_AT_ONCE)
    while walk:
        walk, users, now = yield from _next_users(walk)
        for user in users:
            for device in user.devices:
                app = user.app_of(device)
                devices, unused = counts.get(app, AppCount())
                counts[app] = AppCount(devices + 1, unused + user.is_unused(device, days, now))
    return counts


def remove_unused(
    kept: KeptDays, tell: Tell, among: Sequence[Partition], braked: Container[AppOfTenant] = ()
) -> Steps[Counter[str]]:
    """Look at all users. Returns how many devices and how many contacts were removed. Devices of `braked` apps stay."""
    removed: Counter[str] = Counter(devices=0, contacts=0)
    walk: Walk | None = walk_over([OURS], among, KEYS_AT_ONCE)
    while walk:
        walk, users, now = yield from _next_users(walk)
        for user in users:
            removed["devices"] += yield from _remove_devices(user, kept.devices, now, tell, braked)
            removed["contacts"] += yield from _remove_contact(user, kept.contacts, now)
    return removed


def _next_users(walk: Walk) -> Steps[tuple[Walk | None, list[StoredUser], Micros]]:
    """Read some users. Returns where the walk goes on (None at its end), the users, and Redis's time."""
    walk_on, keys, now = yield from next_keys(walk)
    users = dict.fromkeys(parts_of(key, kind) for key, kind in keys if kind.start in OF_USERS)
    reads: list[tuple[str, ...]] = []
    for user in users:
        reads += [("HVALS", devices_key(*user)), ("HGETALL", phones_key(*user)), ("HMGET", user_key(*user), *FIELDS)]
    answers = iter((yield reads) if reads else [])
    return walk_on, [_stored_user(*user, next(answers), next(answers), next(answers)) for user in users], now


def _stored_user(tenant: str, user_id: str, devices: Any, records: Any, fields: Any) -> StoredUser:
    reports = read_entries(known_kind(phones_key(tenant, user_id)), records)
    return StoredUser(
        tenant,
        user_id,
        registry.decode(devices),
        {name.decode(): read_record(value) for name, value in reports},
        {name: value for name, value in zip(FIELDS, fields, strict=True) if value is not None},
    )


def _remove_devices(user: StoredUser, days: int, now: Micros, tell: Tell, braked: Container[AppOfTenant]) -> Steps[int]:
    """Remove devices, unless they are registered again meanwhile."""
    unused = [
        device for device in user.devices if user.is_unused(device, days, now) and user.app_of(device) not in braked
    ]
    if not unused:
        return 0
    answers = yield from side_by_side([registry.remove(user.tenant, device) for device in unused])
    removed = [device for device, answer in zip(unused, answers, strict=True) if answer == "done"]
    told = [command for device in removed if (command := tell(user.tenant, device, now))]
    if told:
        yield told
    return len(removed)


def _remove_contact(user: StoredUser, days: int, now: Micros) -> Steps[int]:
    """Remove the contact, unless it is written again meanwhile. The user's other fields stay."""
    contact = user.fields.get("contact")
    if not days or contact is None:
        return 0
    key = user_key(user.tenant, user.user_id)
    written = user.fields.get(registry.WRITTEN_AT)
    if written is None:  # an older version wrote it: the days begin now
        yield [("HSETNX", key, registry.WRITTEN_AT, now)]
        return 0
    found = Found(Entry(b"contact", contact), _kept_of_contact(contact, user.fields.get("preferences")))
    if found.change == found.entry or max(int(written), *map(user.last_use, user.devices), 0) >= now - days * DAY_US:
        return 0
    (changed,) = yield [replace(key, known_kind(key), [found])]
    return int(changed)


def _kept_of_contact(contact: bytes, preferences: bytes | None) -> Entry | None:
    """Return what stays of a contact: the time zone, if the user has quiet hours; None if nothing stays."""
    time_zone = registry.read_stored(Contact, contact).time_zone
    if time_zone is None or registry.read_stored(Preferences, preferences).quiet_hours is None:
        return None
    return Entry(b"contact", Contact(time_zone=time_zone).model_dump_json(by_alias=True).encode())
