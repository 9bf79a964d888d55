"""Give every recipient of every round a final outcome, once, and a missed-call notice to whom one is due.

Read the call, decide (pure, bellhop/domain/call.py), and write the decision only if the call is still as it was read.
Any number of workers may do this at the same time: each outcome is recorded once and each notice queued once.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from bellhop import trail
from bellhop.clock import Micros, iso
from bellhop.domain.call import CALL_TTL_S, CallState, RoundState, Settlement, Stamp, missed_stamp, settle
from bellhop.domain.round import Recipient
from bellhop.queue.job_payloads import QueuedRound, job
from bellhop.queue.names import NOTICE_JOB, SETTLE_JOB
from bellhop.store import registry
from bellhop.store.keys import AGENDA, call_key, round_key, round_prefix, trail_key
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Scripts
from bellhop.telemetry import metrics

DUE_AT_ONCE = 100
AGAIN_MS = 10_000
"""The watchdog queues at most so many settle jobs at a time.

And a call's next one after so long if that job came to nothing.
"""
BELIEVED_S = 300
"""How long a call's settle job may wait until somebody looks whether it is on its queue at all."""


async def settle_call(store: Scripts, tenant: str, cid: str, grace_us: Micros) -> None:
    """Settle what can be settled of a call now, and set when to look again. Waits for Redis when it is away."""
    while not await until_redis_answers(lambda: _try_to_settle(store, tenant, cid, grace_us)):
        pass  # the call moved on between reading and writing: decide again


async def _try_to_settle(store: Scripts, tenant: str, cid: str, grace_us: Micros) -> bool:
    now_text, stamps, rounds = await store.script(
        "calls/read_call", [call_key(tenant, cid)], [round_prefix(tenant, cid)]
    )
    now = Micros(int(now_text))
    facts = {Micros(int(started_at)): _pairs(values) for started_at, values in rounds}
    call = _call_state(_pairs(stamps), facts)
    settlements = list(settle(call, now, grace_us))
    document = {
        "version": str(call.version),
        "member": f"{tenant}:{cid}",
        "now": iso(now),
        "settlements": [_document(tenant, cid, one, facts[one.started_at], now) for one in settlements],
        "trail_length": str(trail.LENGTH),
        "next_ms": _next_ms(call, settlements, grace_us),
        "rounds": [round_key(tenant, cid, started_at) for started_at in facts],
    }
    keys = [call_key(tenant, cid), trail_key(tenant, cid), AGENDA]
    args: list[str | int] = [trail.DAY_S, CALL_TTL_S, json.dumps(document, separators=(",", ":"))]
    closed: list[int] | None = await store.script("calls/settle_call", keys, args)
    for number in closed or ():
        metrics.SETTLED.add(settlements[number - 1].standing)
    return closed is not None


def _pairs(flat: list[bytes]) -> dict[str, str]:
    values = [value.decode() for value in flat]
    return dict(zip(values[::2], values[1::2], strict=True))


def _call_state(stamps: Mapping[str, str], rounds: Mapping[Micros, Mapping[str, str]]) -> CallState:
    stamp_items = [(name, at) for name, at in stamps.items() if not name.startswith("r:") and name != "version"]
    return CallState(
        stamps={name: Micros(int(at)) for name, at in stamp_items},
        rounds=tuple(_round_state(started_at, values) for started_at, values in rounds.items() if "facts" in values),
        version=int(stamps.get("version", 0)),
    )


def _round_state(started_at: Micros, values: Mapping[str, str]) -> RoundState:
    round_ = QueuedRound.model_validate_json(values["facts"])
    return RoundState(
        started_at=started_at,
        session_id=round_.session_id,
        deadline=round_.deadline,
        recipients=frozenset(name[2:] for name in values if name.startswith("u:")),
        callers=round_.callers,
        ringless=round_.ringless,
        settled=frozenset(name[2:] for name in values if name.startswith("o:")),
        taken_at=round_.queued_at,
    )


def _next_ms(call: CallState, settlements: list[Settlement], grace_us: Micros) -> str:
    """When the next open round runs out; empty when none is open."""
    done = {(one.started_at, one.user) for one in settlements}
    ends = [
        round_.deadline + grace_us
        for round_ in call.rounds
        if any((round_.started_at, user) not in done for user in round_.recipients - round_.settled)
    ]
    return str(min(ends) // 1000 + 1) if ends else ""


def _document(tenant: str, cid: str, one: Settlement, values: Mapping[str, str], now: Micros) -> dict[str, Any]:
    """One settlement as the script wants it; numbers go as strings, since Lua's JSON would round them."""
    round_ = QueuedRound.model_validate_json(values["facts"])
    document: dict[str, Any] = {
        "round": round_key(tenant, cid, one.started_at),
        "started_at": str(one.started_at),
        "ringless": round_.ringless,
        "noticed": missed_stamp(Stamp.NOTICED, round_.session_id, one.user),
        "user": one.user,
        "standing": one.standing,
        "trail": trail.encode(trail.UserSettled(at=now, user=one.user, outcome=one.standing, round=one.started_at)),
    }
    if one.notice:
        recipient = Recipient.model_validate_json(values["u:" + one.user])
        payload = round_.model_copy(update={"recipients": (recipient,), "queued_at": now})
        people = registry.named_in_a_job(tenant, [one.user], payload.caller_id)
        document["job"] = job(f"notice-{uuid4().hex}", NOTICE_JOB, payload, people)
    return document


async def queue_due_calls(store: Scripts) -> None:
    """Queue a settle job for each call whose time has come: one look of the watchdog."""
    await store.script(
        "calls/enqueue_due", [AGENDA], [DUE_AT_ONCE, AGAIN_MS, json.dumps(job("", SETTLE_JOB)), BELIEVED_S]
    )
