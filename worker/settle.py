"""Gives every recipient of every round a final standing, once, and queues the missed-call notices that are due.

It reads the call, decides (pure, bellhop/domain/call.py), and writes the decision only if the call has not changed.
Any number of workers may do this at the same time: each standing is recorded once, and each notice is queued once.
"""

from collections.abc import Mapping
from uuid import uuid4

from bellhop import trail
from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState, Settlement, settle
from bellhop.domain.round import Recipient
from bellhop.queue.job_payloads import QueuedRound, job
from bellhop.queue.names import NOTICE_JOB, SETTLE_JOB
from bellhop.store import call_scripts
from bellhop.store.call_scripts import CallToSettle, FinalStanding, read_call, stored_call
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Scripts
from bellhop.telemetry import metrics

DUE_AT_ONCE = 100
"""Settle jobs that the watchdog queues in one step."""
AGAIN_MS = 10_000
"""If a settle job did not settle its call, the watchdog queues another after this time."""
ASSUMED_S = 300
"""How long a settle job that was queued is assumed to be on its queue. Then the watchdog searches the queue for it."""


async def settle_call(store: Scripts, tenant: str, cid: str, grace_us: Micros) -> None:
    """Settle the standings that are final now, and set when the call is due again. Waits while Redis is away."""
    while not await until_redis_answers(lambda: _try_to_settle(store, tenant, cid, grace_us)):
        pass  # the call changed between reading and writing, and nothing was written: decide again


async def _try_to_settle(store: Scripts, tenant: str, cid: str, grace_us: Micros) -> bool:
    stored = stored_call(await store.script(*read_call(tenant, cid)))
    call = _call_state(stored.fields, stored.rounds)
    settlements = list(settle(call, stored.now, grace_us))
    to_settle = CallToSettle(
        tenant,
        cid,
        call.version,
        stored.now,
        [_final(settlement, stored.rounds[settlement.started_at], stored.now) for settlement in settlements],
        _next_ms(call, settlements, grace_us),
        tuple(stored.rounds),
    )
    recorded: list[int] | None = await store.script(*call_scripts.settle_call(to_settle))
    for number in recorded or ():
        metrics.SETTLED.add(settlements[number - 1].standing)
    return recorded is not None


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


def _next_ms(call: CallState, settlements: list[Settlement], grace_us: Micros) -> int | None:
    """When the next open round ends, unix ms; None if no round is open."""
    settled = {(settlement.started_at, settlement.user) for settlement in settlements}
    ends = [
        round_.deadline + grace_us
        for round_ in call.rounds
        if any((round_.started_at, user) not in settled for user in round_.recipients - round_.settled)
    ]
    return min(ends) // 1000 + 1 if ends else None


def _final(settlement: Settlement, fields: Mapping[str, str], now: Micros) -> FinalStanding:
    round_ = QueuedRound.model_validate_json(fields["facts"])
    user, standing = settlement.user, settlement.standing
    line = trail.encode(trail.UserSettled(at=now, user=user, outcome=standing, round=settlement.started_at))
    if not settlement.notice:
        return FinalStanding(round_, user, standing, line)
    recipient = Recipient.model_validate_json(fields["u:" + user])
    payload = round_.model_copy(update={"recipients": (recipient,), "queued_at": now})
    return FinalStanding(round_, user, standing, line, job(f"notice-{uuid4().hex}", NOTICE_JOB, payload))


async def queue_due_calls(store: Scripts, *, again_ms: int = AGAIN_MS, assumed_s: int = ASSUMED_S) -> None:
    """Queue a settle job for each call whose time has come."""
    command = call_scripts.enqueue_due(job("", SETTLE_JOB), limit=DUE_AT_ONCE, again_ms=again_ms, assumed_s=assumed_s)
    await store.script(*command)
