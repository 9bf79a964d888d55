"""What the registry says today about users who had no device when their call rang: for the explanation of the call.

A ring never waits for this. The work is bounded: few users, a few spellings of their ids, the end of a few trails.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from redis import Redis

from bellhop.clock import as_datetime
from bellhop.domain.device import NOT_REACHED, number_of_devices
from bellhop.domain.outcomes import Outcome
from bellhop.store.blocking_client import together
from bellhop.store.keys import calls_of_user_key, devices_key, trail_key
from bellhop.store.registered_devices import differ_in_capitals
from bellhop.store.unreachable_devices import read_unreachable
from bellhop.trail import PushSkipped, TokenChecked, TokenFate, decode_only

MOST_USERS = 10
EARLIER_CALLS, EARLIER_LINES = 3, 300
"""How many calls of a user are searched for a removed token, and how many lines at the end of each trail."""
_WORD = f'"{Outcome.NO_DEVICES}"'.encode()


def devices_today(redis: Redis, tenant: str, lines: Iterable[bytes]) -> Mapping[str, str]:
    """Return a sentence for each user of this trail who had no device, if the registry explains more today.

    Raises redis.exceptions.RedisError.
    """
    return without_devices_today(redis, tenant, _without_devices(lines))


def without_devices_today(redis: Redis, tenant: str, users: Sequence[str]) -> Mapping[str, str]:
    """Return a sentence for each of these users if the registry explains why they had no device.

    Raises redis.exceptions.RedisError.
    """
    spellings = {user: _spellings(user) for user in users}
    ids = [id_ for user, others in spellings.items() for id_ in (user, *others)]
    counts = dict(zip(ids, together(redis, *(("HLEN", devices_key(tenant, id_)) for id_ in ids)), strict=True))
    sentences = {user: _of_counts(user, spellings[user], counts) for user in users}
    notes = together(redis, *(read_unreachable(tenant, user) for user in users))
    for user, note in zip(users, notes, strict=True):
        sentences[user] = sentences[user] or only_unreachable(user, note)
    silent = [user for user in users if not sentences[user]]
    sentences |= dict(zip(silent, _last_removals(redis, tenant, silent), strict=True))
    return {user: sentence for user, sentence in sentences.items() if sentence}


def _without_devices(lines: Iterable[bytes]) -> list[str]:
    """Return the first users of the trail without any device, as far as it says how many there were."""
    skips = decode_only(PushSkipped, (line for line in lines if _WORD in line))
    without = (skip for skip in skips if skip.outcome == Outcome.NO_DEVICES)
    users = dict.fromkeys(skip.user for skip in without if skip.reason in ("", number_of_devices(0)))
    return list(islice(users, MOST_USERS))


def _of_counts(user: str, others: Iterable[str], counts: Mapping[str, int]) -> str:
    if count := counts[user]:
        return f"Today, {user} has {number_of_devices(count)}: see `bellhop devices list {user}`."
    having = {other: counts[other] for other in others if counts[other]}
    found = differ_in_capitals(user, having)
    return f"Today, {found}. Register devices under the id that Stream uses." if found else ""


def only_unreachable(user: str, note: bytes | None) -> str:
    """Say that the user had only phones that Bellhop does not reach; empty if there is no note of it."""
    names = [NOT_REACHED[name] for name in (note or b"").decode().split(",") if name in NOT_REACHED]
    if not names:
        return ""
    return (
        f"In Stream's list, {user} had only phones of {' and '.join(names)} when Bellhop last read it. Bellhop sends "
        "through Apple and Google only, and does not reach them."
    )


def _spellings(user: str) -> list[str]:
    """Return the usual other spellings of an id: they differ in capitals only."""
    forms = (user.lower(), user.upper(), user.capitalize(), user.title(), user.swapcase())
    return list(dict.fromkeys(form for form in forms if form != user))


def _last_removals(redis: Redis, tenant: str, users: Sequence[str]) -> Iterator[str]:
    """Say of each user which device Bellhop removed last; empty if the latest calls do not tell of one."""
    reads = (("ZREVRANGE", calls_of_user_key(tenant, user), 0, EARLIER_CALLS - 1) for user in users)
    for user, calls in zip(users, together(redis, *reads), strict=True):
        keys = [trail_key(tenant, cid.decode("utf-8", "replace")) for cid in calls]
        trails = together(redis, *(("LRANGE", key, -EARLIER_LINES, -1) for key in keys))
        checked = decode_only(TokenChecked, (line for trail in trails for line in trail))
        removed = [line for line in checked if line.user == user and line.detail == TokenFate.REMOVED]
        yield _removal(user, max(removed, key=lambda line: line.at)) if removed else ""


def _removal(user: str, line: TokenChecked) -> str:
    at = as_datetime(line.at)
    return (
        f"Bellhop removed the push token of {line.label or 'the phone'} at {at:%Y-%m-%d %H:%M} UTC, since its provider "
        f"said that the token was dead. Ask {user} to open the app once, so that it registers its current token."
    )
