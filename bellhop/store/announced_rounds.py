"""The latest rounds of a call: who belongs to them, and what was announced about them."""

from collections.abc import Iterable, Mapping

from redis import Redis

from bellhop.clock import Micros
from bellhop.domain.round import Round
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import together
from bellhop.store.keys import call_key, round_key
from bellhop.store.stored_call import read_fields, round_starts

ROUNDS_SEARCHED = 100
"""In how many of a call's latest rounds a user is searched."""
ROUNDS_SHOWN = 4
"""How many of a call's latest rounds are read with all of their fields."""


def knows_call(redis: Redis, tenant: str, cid: str) -> bool:
    """Return whether a ring of the call is known. Raises redis.exceptions.RedisError."""
    return bool(_latest(redis.hkeys(call_key(tenant, cid)), 1))  # type: ignore[arg-type]


def is_in_call(redis: Redis, tenant: str, cid: str, user_id: str) -> bool | None:
    """Return whether the user made the call or was called in it; None if no ring of the call is known.

    Raises redis.exceptions.RedisError.
    """
    starts = _latest(redis.hkeys(call_key(tenant, cid)), ROUNDS_SEARCHED)  # type: ignore[arg-type]
    reads = (("HMGET", round_key(tenant, cid, started_at), "facts", f"u:{user_id}") for started_at in starts)
    rounds = [(facts, recipient) for facts, recipient in together(redis, *reads) if facts]
    if not rounds:
        return None
    return any(recipient is not None or _made(facts, user_id) for facts, recipient in rounds)


def _made(facts: bytes, user_id: str) -> bool:
    round_ = Round.model_validate_json(facts)
    return user_id == round_.caller_id or user_id in round_.callers


async def read_latest_rounds(store: Store, tenant: str, cid: str) -> list[tuple[Round, Mapping[str, str]]]:
    """Return the latest rounds and all of their fields, the oldest first. Raises as the store does."""
    starts = sorted(_latest(await store.call("HKEYS", call_key(tenant, cid)), ROUNDS_SHOWN))
    rounds = await store.together(*(("HGETALL", round_key(tenant, cid, started_at)) for started_at in starts))
    return [
        (Round.model_validate_json(fields["facts"]), fields) for fields in map(read_fields, rounds) if "facts" in fields
    ]


def _latest(names: Iterable[bytes], most: int) -> list[Micros]:
    """Return when the latest rounds began, by the names of a call's fields."""
    return sorted(round_starts(name.decode(errors="replace") for name in names), reverse=True)[:most]
