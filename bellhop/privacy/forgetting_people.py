"""Forgets a person. Data of the person alone are deleted at once. Passes over all keys replace the person elsewhere.

Redis keeps a tombstone until the last pass, a day later, has ended: the keyed hash of the person's id. Until then, web
processes replace the id in each event that comes in. A process that still had the id in memory may write it meanwhile.
A later pass finds that.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis import Redis

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.privacy.key_kinds import with_scores
from bellhop.privacy.people import ForgottenPeople, ForgottenPerson, Names
from bellhop.privacy.walk import erase
from bellhop.store import registry
from bellhop.store.blocking_client import together
from bellhop.store.homes import Partition
from bellhop.store.keys import (
    ERASURES,
    FORGOTTEN,
    FORGOTTEN_HASH_KEY,
    FORGOTTEN_LIFTS,
    calls_of_user_key,
    devices_key,
    held_back_key,
    lookup_key,
    missed_calls_key,
    phones_key,
    user_key,
)
from bellhop.store.redis_clock import read_time
from bellhop.store.scripts import RawCommand, ScriptRunner
from bellhop.store.steps import Steps, run_scripts

DAY_US = Micros(24 * 3600 * MICROS_PER_SECOND)
SECRET_TTL_S = 2 * 24 * 3600
"""Longer than the last pass. A tombstone ends after this time even if no worker makes the last pass."""
PASSES_AFTER_US = (Micros(0), Micros(600 * MICROS_PER_SECOND), DAY_US)
"""When all keys are looked at, after the person was forgotten. By the second pass, every ring that was under way has
ended. The third pass ends the tombstone, and not before: a person who registers before that must stop the pass."""

OVERLAP_US = 5 * MICROS_PER_SECOND
"""A tombstone may be written after one with a later time. So the last seconds are read again."""
MOST_PEOPLE = 10_000
"""How many people one pass looks for."""

Together = Callable[..., list[Any]]
"""Runs commands in one round trip, and returns their answers."""


def forget(run_all: Together, run: ScriptRunner, tenant: str, user_id: str) -> ForgottenPerson:
    """Forget a person: write the tombstone, and delete what belongs to the person alone. It may run twice.

    The passes of `PASSES_AFTER_US` do the rest. Raises redis.exceptions.RedisError.
    """
    *_, secret, time = run_all(
        ("SET", FORGOTTEN_HASH_KEY, secrets.token_hex(32), "NX", "EX", SECRET_TTL_S),
        ("EXPIRE", FORGOTTEN_HASH_KEY, SECRET_TTL_S),
        ("GET", FORGOTTEN_HASH_KEY),
        ("TIME",),
    )
    person, now = ForgottenPerson.of(bytes(secret), tenant, user_id), read_time(time)
    *_, stored = run_all(
        ("ZADD", FORGOTTEN, now, person.stored()),
        ("ZADD", ERASURES, now, person.stored()),
        ("ZREMRANGEBYSCORE", FORGOTTEN, "-inf", now - SECRET_TTL_S * MICROS_PER_SECOND),
        ("EXPIRE", FORGOTTEN, SECRET_TTL_S),
        ("HVALS", devices_key(tenant, user_id)),
    )
    for device in registry.decode(stored):
        run_scripts(registry.remove(tenant, device), run)
    keys_of = (devices_key, user_key, phones_key, held_back_key, calls_of_user_key, missed_calls_key, lookup_key)
    run_all(*(("DEL", key(tenant, user_id)) for key in keys_of))
    return person


def forgotten_at(run_all: Together, tenant: str, user_id: str) -> tuple[Micros, ForgottenPerson] | None:
    """Return when a person was forgotten, and the person; None without a tombstone. Raises RedisError."""
    (secret,) = run_all(("GET", FORGOTTEN_HASH_KEY))
    if secret is None:
        return None
    person = ForgottenPerson.of(bytes(secret), tenant, user_id)
    (score,) = run_all(("ZSCORE", FORGOTTEN, person.stored()))
    return None if score is None else (Micros(int(float(score))), person)


def lift(run_all: Together, person: ForgottenPerson) -> None:
    """Delete the tombstone of a person who registered again. Raises redis.exceptions.RedisError."""
    run_all(*_end(person.stored()))


def _end(member: str | bytes) -> list[RawCommand]:
    """Return the commands that delete a tombstone, and the passes that would follow."""
    return [("ZREM", FORGOTTEN, member), ("ZREM", ERASURES, member), ("INCR", FORGOTTEN_LIFTS)]


def forgotten_people(redis: Redis, tenant: str) -> Names:
    """Return the function that recognizes who was forgotten lately, as it is now. Raises RedisError."""
    known = KnownForgotten()
    known.read(redis)
    return known.people.of(tenant)


class KnownForgotten:
    """The people who have a tombstone, as this process knows them. It reads what is new once a second."""

    def __init__(self) -> None:
        self.people = ForgottenPeople()
        self._version: tuple[Any, Any] = (None, None)
        self._times: dict[bytes, float] = {}
        """When each was forgotten (unix µs), by the form in Redis."""

    def read(self, redis: Redis) -> None:
        """Read who was forgotten since the last time. Raises redis.exceptions.RedisError."""
        since = max(self._times.values(), default=0) - OVERLAP_US
        if not self._read(redis, since):
            self._times = {}
            self._read(redis, 0)

    def _read(self, redis: Redis, since: float) -> bool:
        """Read who was forgotten after `since`; returns False if all must be read again."""
        secret, lifts, count, new = together(
            redis,
            ("GET", FORGOTTEN_HASH_KEY),
            ("GET", FORGOTTEN_LIFTS),
            ("ZCARD", FORGOTTEN),
            ("ZRANGEBYSCORE", FORGOTTEN, max(since, 0), "+inf", "WITHSCORES"),
        )
        times = self._times | {member: float(score) for member, score in with_scores(new)}
        if self._times and ((secret, lifts) != self._version or len(times) != count):
            return False
        if (secret, lifts) != self._version or times.keys() != self._times.keys():
            self.people = _people(secret, times)
        self._version, self._times = (secret, lifts), times
        return True


def _people(secret: bytes | None, members: Iterable[bytes]) -> ForgottenPeople:
    return ForgottenPeople(secret or b"", map(ForgottenPerson.read, members))


def erase_due(among: Sequence[Partition]) -> Steps[Counter[str] | None]:
    """Make one pass for all people whose pass is due. Returns what was changed; None if no pass is due."""
    time, secret = yield [("TIME",), ("GET", FORGOTTEN_HASH_KEY)]
    now = read_time(time)
    (members,) = yield [("ZRANGEBYSCORE", ERASURES, "-inf", now, "LIMIT", 0, MOST_PEOPLE)]
    if not members:
        return None

    def still_forgotten() -> Steps[ForgottenPeople]:
        scores = yield [("ZSCORE", ERASURES, member) for member in members]
        return _people(secret, (member for member, score in zip(members, scores, strict=True) if score is not None))

    counts = yield from erase(still_forgotten, among)
    times = yield [("ZSCORE", FORGOTTEN, member) for member in members]
    yield [command for member, at in zip(members, times, strict=True) for command in _after_pass(member, at, now)]
    return counts


def _after_pass(member: bytes, at: bytes | float | None, now: Micros) -> list[RawCommand]:
    """Return the commands that plan a person's next pass; after the last one, those that end the tombstone."""
    passes = [round(float(at)) + after for after in PASSES_AFTER_US] if at else []
    later = next((moment for moment in passes if moment > now), None)
    return _end(member) if later is None else [("ZADD", ERASURES, "XX", "GT", later, member)]
