"""Apply an event about a user: deleted, deactivated, reactivated, or tokens revoked.

No call is involved, so there is no trail. Stream's stamps decide, so a repeated or late event changes nothing.
"""

import structlog

from bellhop.clock import Micros
from bellhop.domain.call import clamp_stamp
from bellhop.privacy.forgetting_people import forget, forgotten_at
from bellhop.store import disabled_phones, registry, unreachable_devices
from bellhop.store.keys import devices_key, held_back_key, user_key
from bellhop.store.steps import run_scripts
from webhook.intake.apply import Verdict
from webhook.intake.events import Event, UserChanged
from webhook.intake.stream_clock import StreamTime
from webhook.intake_redis import IntakeRedis

log = structlog.get_logger()


def apply_user_event(
    redis: IntakeRedis, tenant: str, event: UserChanged, arrival: StreamTime, *, is_forgotten: bool = False
) -> Verdict:
    """Apply the event. A late event does not bring a forgotten user back. Raises redis.exceptions.RedisError."""
    at = clamp_stamp(event.at, arrival.now)
    times = {name: clamp_stamp(moment, arrival.now) for name, moment in _times(event, at)}
    if event.type == "user.deleted":
        is_new = _forget(redis, tenant, event.user_id, at, Micros(at + arrival.redis_ahead_us))
        return Verdict.TAKEN if is_new else Verdict.ALREADY
    if is_forgotten or not times:
        return Verdict.IGNORED
    redis.run(registry.stamp_user(tenant, event.user_id, times))
    return Verdict.TAKEN


def learn_revocations(redis: IntakeRedis, tenant: str, event: Event, now: Micros) -> None:
    """Keep which tokens of an event's users are revoked. Raises redis.exceptions.RedisError.

    Most events revoke nothing. If an event does, Redis usually has it already. So first, one read covers all its users.
    """
    if not event.tokens_revoked:
        return
    reads = [("HGET", user_key(tenant, user_id), "revoked") for user_id in event.tokens_revoked]
    for (user_id, revoked), known in zip(event.tokens_revoked.items(), redis.together(*reads), strict=True):
        at = clamp_stamp(revoked, now)
        if int(known or 0) < at:
            redis.run(registry.stamp_user(tenant, user_id, {"revoked": at}))


def _times(event: UserChanged, at: Micros) -> list[tuple[str, Micros]]:
    times = [("revoked", event.tokens_revoked.get(event.user_id)), ("deactivated", event.deactivated_at)]
    if event.type == "user.deactivated":
        times.append(("deactivated", at))
    if event.type == "user.reactivated":
        times.append(("reactivated", at))
    return [(name, moment) for name, moment in times if moment is not None]


def _forget(redis: IntakeRedis, tenant: str, user_id: str, at: Micros, redis_at: Micros) -> bool:
    """Forget a user whom Stream deleted (`bellhop.privacy.forgetting_people`); returns False if that was done before.

    A device that was registered later belongs to a new user with the same id, whose data stays. `at` and `redis_at`:
    when the user was deleted, by Stream's clock and by Redis's, which stamps devices.
    """
    forgotten = forgotten_at(redis.together, tenant, user_id)
    if forgotten and forgotten[0] >= redis_at:
        return False
    user = user_key(tenant, user_id)
    done, stored = redis.together(("HGET", user, "deleted"), ("HVALS", devices_key(tenant, user_id)))
    if done and int(done) >= at:
        return False
    devices = registry.decode(stored)
    if not any(device.registered_at > redis_at for device in devices):
        person = forget(redis.together, redis.run, tenant, user_id)
        log.info("user_deleted", pseudonym=person.pseudonym)
        return True
    for device in devices:
        if device.registered_at <= redis_at:
            run_scripts(registry.remove(tenant, device), redis.run)
    own = ("contact", "preferences", "deactivated", "reactivated", unreachable_devices.FIELD, disabled_phones.FIELD)
    redis.call("HDEL", user, *own)
    redis.call("DEL", held_back_key(tenant, user_id))
    redis.run(registry.stamp_user(tenant, user_id, {"deleted": at}))
    log.info("user_deleted")
    return True
