"""What phones reported that did not say that they ring: for the explanation of a call.

A ring never waits for this. The work is bounded: the end of the trail, few users.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from redis import Redis

from bellhop.clock import Micros
from bellhop.domain.outcomes import Outcome
from bellhop.domain.phone_diagnosis import states_of
from bellhop.domain.phone_states import RingEffect
from bellhop.domain.push import PushKind
from bellhop.store import phones, registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import devices_key
from bellhop.trail import PhoneRang, PushAttempted, decode

MOST_USERS, LATEST_LINES = 10, 300
MOST_STATES = 2
"""How many states of a phone one sentence names, the worst first."""
_WORD, _OUTCOME = f'"{PushAttempted.what}"'.encode(), f'"{Outcome.ACCEPTED}"'.encode()
_RANG = f'"{PhoneRang.what}"'.encode()


def silent_phones(redis: Redis, tenant: str, lines: Sequence[bytes], now: Micros) -> Mapping[str, str]:
    """Return a sentence for each phone that got a ring and did not report that it rang, if its settings explain it.

    They are by the key of the device. Raises redis.exceptions.RedisError.
    """
    by_user = _silent(lines[-LATEST_LINES:])
    reads = [
        command
        for user, keys in by_user.items()
        for command in (phones.read_some(tenant, user, keys), ("HMGET", devices_key(tenant, user), *keys))
    ]
    answers = together(redis, *reads)
    found: dict[str, str] = {}
    for (_, keys), records, stored in zip(by_user.items(), answers[::2], answers[1::2], strict=True):
        devices = {device.key: device for device in registry.decode(value for value in stored if value)}
        for key, record in phones.records_of(keys, records).items():
            states = [
                state for state in states_of(record, devices.get(key), now) if state.effect is not RingEffect.NOTE
            ]
            found[key] = " ".join(f"{state.sentence} {state.next}" for state in states[:MOST_STATES])
    return {key: sentence for key, sentence in found.items() if sentence}


def _silent(lines: Sequence[bytes]) -> Mapping[str, list[str]]:
    """Return the devices of the latest users that got a ring and did not report that they rang, by user."""
    rang = {
        line.device for line in map(decode, (line for line in lines if _RANG in line)) if isinstance(line, PhoneRang)
    }
    by_user: dict[str, dict[str, None]] = {}
    for attempt in _accepted(lines):
        if attempt.device not in rang:
            by_user.setdefault(attempt.user, {})[attempt.device] = None
    return {user: [*keys] for user, keys in islice(by_user.items(), MOST_USERS)}


def _accepted(lines: Sequence[bytes]) -> Iterator[PushAttempted]:
    for line in map(decode, (line for line in reversed(lines) if _WORD in line and _OUTCOME in line)):
        if isinstance(line, PushAttempted) and line.kind == PushKind.RING and line.outcome == Outcome.ACCEPTED:
            yield line
