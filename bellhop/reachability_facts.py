"""Read what is known of a user's phones, for the answer to "can this user be rung?". No ring reads it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.domain.device import Device
from bellhop.domain.outcomes import Outcome
from bellhop.domain.phone import PhoneRecord
from bellhop.domain.push import PushKind
from bellhop.domain.user import User
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.settings import Settings
from bellhop.store import phones, registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import calls_of_user_key, devices_key, trail_key
from bellhop.store.redis_clock import read_time
from bellhop.store.registered_today import EARLIER_CALLS, EARLIER_LINES, without_devices_today
from bellhop.store.unreachable_devices import read_unreachable
from bellhop.trail import PhoneRang, PhoneReported, PushAttempted, decode_only


class LatestPushes(NamedTuple):
    """What the trails of the user's latest calls say about one device. Times are unix µs; 0 for never."""

    accepted: int = 0
    """How many rings the provider accepted."""
    accepted_at: Micros = Micros(0)
    """When it accepted the last one."""
    outcome: str = ""
    """The outcome of the last attempt to ring."""
    attempted_at: Micros = Micros(0)
    is_reported: bool = False
    """Whether the phone reported the last ring that the provider accepted."""


NO_PUSHES = LatestPushes()


class ReachabilityFacts(NamedTuple):
    """What is known of a user's phones, and of what rings them."""

    user_id: str
    now: Micros
    devices: list[Device]
    user: User
    records: Mapping[str, PhoneRecord]
    """What each phone reported, by the device's key."""
    pushes: Mapping[str, LatestPushes]
    """By the device's key; empty if the calls of users are not listed."""
    unreachable: bytes | None
    """The note on phones of this user that Bellhop does not reach."""
    today: str
    """Why the user has no device, if the registry says it; otherwise empty."""
    installation: InstallationState
    apps: frozenset[tuple[str, str]]
    """The apps with credentials, as (provider, app)."""
    has_receipts: bool
    """Whether pushes carry receipts."""


def read_reachability_facts(redis: Redis, settings: Settings, tenant: str, user_id: str) -> ReachabilityFacts:
    """Read them, in four round trips; for a user without devices in more. Raises redis.exceptions.RedisError."""
    stored, user, calls, note, time = together(
        redis,
        ("HVALS", devices_key(tenant, user_id)),
        registry.read_user_fields(tenant, user_id),
        ("ZREVRANGE", calls_of_user_key(tenant, user_id), 0, EARLIER_CALLS - 1),
        read_unreachable(tenant, user_id),
        ("TIME",),
    )
    devices = registry.decode(stored)
    keys = [device.key for device in devices]
    trails = [("LRANGE", trail_key(tenant, cid.decode("utf-8", "replace")), -EARLIER_LINES, -1) for cid in calls]
    reads = [phones.read_some(tenant, user_id, keys)] if keys else []
    answers = together(redis, *reads, *trails)
    installation = read_installation_state(redis)
    return ReachabilityFacts(
        user_id=user_id,
        now=read_time(time),
        devices=devices,
        user=registry.read_user(*user),
        records=phones.records_of(keys, answers[0]) if keys else {},
        pushes=_latest_pushes(user_id, [line for trail in answers[len(reads) :] for line in trail]),
        unreachable=note,
        today="" if devices else without_devices_today(redis, tenant, [user_id]).get(user_id, ""),
        installation=installation,
        apps=settings.push_apps | frozenset(installation.channels_by_app()),
        has_receipts=bool(settings.receipt_secret.get_secret_value()),
    )


def _latest_pushes(user_id: str, lines: Sequence[bytes]) -> Mapping[str, LatestPushes]:
    found: dict[str, LatestPushes] = {}
    reported = {(line.device, line.round) for line in decode_only(PhoneRang, lines)}
    reported |= {(line.device, line.round) for line in decode_only(PhoneReported, lines)}
    attempts = decode_only(PushAttempted, lines)
    rings = [attempt for attempt in attempts if attempt.kind == PushKind.RING and attempt.user == user_id]
    for ring in sorted(rings, key=lambda ring: ring.at):
        known = found.get(ring.device, NO_PUSHES)
        if ring.outcome == Outcome.ACCEPTED:
            is_reported = (ring.device, ring.round) in reported
            known = known._replace(accepted=known.accepted + 1, accepted_at=ring.at, is_reported=is_reported)
        found[ring.device] = known._replace(outcome=ring.outcome, attempted_at=ring.at)
    return found
