"""The settings of phones that did not report that they rang: for the explanation of a call.

A ring never waits for this. The work is bounded: the end of the trail, few users.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

from redis import Redis

from bellhop.clock import Micros
from bellhop.domain.outcomes import Outcome
from bellhop.domain.phone_diagnosis import FoundState, states_of
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.phone_states import RingEffect
from bellhop.domain.push import PushKind
from bellhop.store import phones, registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import devices_key
from bellhop.trail import PhoneRang, PhoneReported, PushAttempted, decode_only

MOST_USERS, LATEST_LINES = 10, 300
MOST_STATES = 2
"""How many states of a phone one sentence names, the worst first."""
_ACCEPTED = f'"{Outcome.ACCEPTED}"'.encode()


def silent_phones(redis: Redis, tenant: str, lines: Sequence[bytes], now: Micros) -> Mapping[str, str]:
    """Return a sentence for each silent phone whose settings explain why, by the key of the device.

    A phone is silent if it got a ring and did not report that it rang, in any round of the call. Raises
    redis.exceptions.RedisError.
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
            found[key] = _settings(states_of(record, devices.get(key), now))
    return {key: sentence for key, sentence in found.items() if sentence}


def _settings(states: Sequence[FoundState]) -> str:
    bad = [state for state in states if state.effect is not RingEffect.NOTE]
    return " ".join(f"{state.sentence} {state.next}" for state in bad[:MOST_STATES])


def _silent(lines: Sequence[bytes]) -> Mapping[str, list[str]]:
    """Return the devices of the latest users that got a ring and did not report that they rang, by user."""
    reports = [line for line in decode_only(PhoneReported, lines) if line.outcome != PhoneEvent.NOT_SHOWN]
    rang = {(line.device, line.round) for line in decode_only(PhoneRang, lines)}
    rang |= {(line.device, line.round) for line in reports}
    by_user: dict[str, dict[str, None]] = {}
    for attempt in decode_only(PushAttempted, (line for line in reversed(lines) if _ACCEPTED in line)):
        is_ring = attempt.kind == PushKind.RING and attempt.outcome == Outcome.ACCEPTED
        if is_ring and (attempt.device, attempt.round) not in rang:
            by_user.setdefault(attempt.user, {})[attempt.device] = None
    return {user: [*keys] for user, keys in islice(by_user.items(), MOST_USERS)}
