"""All users with devices, and users whose ids differ in capitals only: for commands. It walks over all keys.

A walk over millions of keys takes seconds (bellhop/store/scanning.py).
"""

import math
import time
from collections.abc import Iterator, Mapping
from itertools import islice

from redis import Redis

from bellhop.clock import Seconds
from bellhop.domain.device import Device, number_of_devices
from bellhop.domain.phone import DEMOTIONS_FOR_A_WARNING, read_record
from bellhop.store.blocking_client import together
from bellhop.store.keys import calls_of_user_key, devices_key, phones_key
from bellhop.store.registry import decode
from bellhop.store.scanning import SCANNED_AT_ONCE, literal, scan

NAMED_USERS = 3


def devices_by_user(redis: Redis, tenant: str, time_s: Seconds) -> dict[str, list[Device]]:
    """Read the devices of all users, or of those that are found within `time_s`.

    Raises redis.exceptions.RedisError.
    """
    devices: dict[str, list[Device]] = {}
    for user_ids in _in_groups(_ids(redis, devices_key(tenant, ""), time_s=time_s)):
        reads = (("HVALS", devices_key(tenant, user_id)) for user_id in user_ids)
        answers = together(redis, *reads, in_order=False)
        devices.update(zip(user_ids, map(decode, answers), strict=True))
    return devices


def demoted_phones(redis: Redis, tenant: str, time_s: Seconds) -> int:
    """Count the phones that Google reaches with normal priority only, or those that are found within `time_s`.

    Raises redis.exceptions.RedisError.
    """
    count = 0
    for user_ids in _in_groups(_ids(redis, phones_key(tenant, ""), time_s=time_s)):
        reads = (("HVALS", phones_key(tenant, user_id)) for user_id in dict.fromkeys(user_ids))
        answers = together(redis, *reads, in_order=False)
        records = [read_record(stored) for values in answers for stored in values]
        count += len([record for record in records if record.demoted >= DEMOTIONS_FOR_A_WARNING])
    return count


def called_users(redis: Redis, tenant: str, time_s: Seconds) -> frozenset[str]:
    """Return the users who made a call or were called lately, or those that are found within `time_s`.

    There are none if calls are not listed for the console. Raises redis.exceptions.RedisError.
    """
    return frozenset(_ids(redis, calls_of_user_key(tenant, ""), time_s=time_s))


def in_other_capitals(redis: Redis, tenant: str, user_id: str) -> dict[str, int]:
    """Return the users whose ids differ from `user_id` in capitals only, and how many devices each has.

    Raises redis.exceptions.RedisError.
    """
    pattern = "".join(_in_both_cases(character) for character in user_id)
    others = sorted(set(_ids(redis, devices_key(tenant, ""), pattern)) - {user_id})
    return {other: int(redis.hlen(devices_key(tenant, other))) for other in others}


def differ_in_capitals(user_id: str, others: Mapping[str, int]) -> str:
    """Say that `others` have the devices; empty if there are none."""
    if not others:
        return ""
    having = " and ".join(f"{other} has {number_of_devices(count)}" for other, count in others.items())
    return f"{user_id} has no devices, but {having}: the ids differ in capitals only"


def only_for_notices(users: Mapping[str, int]) -> str:
    """Say that these users, with their numbers of devices, cannot be rung."""
    why = "an iPhone rings by its VoIP token"
    if len(users) == 1:
        ((user_id, count),) = users.items()
        return f"{user_id} has {number_of_devices(count)} for notices and none for calls: {why}"
    named = ", ".join([*users][:NAMED_USERS]) + (", …" if len(users) > NAMED_USERS else "")
    return f"{len(users)} users ({named}) have devices for notices and none for calls: {why}"


def _ids(redis: Redis, prefix: str, pattern: str = "", *, time_s: Seconds = Seconds(math.inf)) -> Iterator[str]:
    """Yield the ends of the keys that begin with `prefix`, for at most `time_s`. A key may come twice."""
    for key in scan(redis, prefix, pattern, until_s=time.monotonic() + time_s):
        yield key.removeprefix(prefix)


def _in_groups(user_ids: Iterator[str]) -> Iterator[list[str]]:
    while group := list(islice(user_ids, SCANNED_AT_ONCE)):
        yield group


def _in_both_cases(character: str) -> str:
    """Return the pattern of SCAN that matches a character in lower and in upper case."""
    lower, upper = character.lower(), character.upper()
    if lower != upper and character.isascii():
        return f"[{lower}{upper}]"
    return literal(character)
