"""Finds which standings are final in a call, as it was read from Redis."""

from collections.abc import Mapping
from dataclasses import replace

from bellhop.clock import Micros
from bellhop.domain.call import CallState, RoundState
from bellhop.domain.forgetting import FORGOTTEN, ring_trace, session_trace
from bellhop.domain.settlement import settlement_of, unsettled
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import read_traces
from bellhop.store.retry import until_redis_answers
from bellhop.store.stored_call import StoredCall
from worker.derived_notices import ReadCall
from worker.turns import in_turns


async def final_in(store: Store, tenant: str, cid: str, stored: StoredCall, grace_us: Micros) -> ReadCall:
    """Find which standings are final in a call, without blocking other tasks for long."""
    stored_rounds = {started_at: fields for started_at, fields in stored.rounds.items() if "facts" in fields}
    rounds = {at: QueuedRound.model_validate_json(fields["facts"]) for at, fields in stored_rounds.items()}
    state = CallState(
        stamps=stored.stamps,
        rounds=tuple(_round_state(rounds[at], fields, stored.redis_ahead_us) for at, fields in stored_rounds.items()),
        version=int(stored.fields.get("version", 0)),
    )
    if FORGOTTEN in stored.fields:
        state = await _with_forgotten_rounds(store, tenant, cid, state)
    settlements = []
    async for round_, user in in_turns(unsettled(state)):
        settlement = settlement_of(state, round_, user, stored.now, grace_us)
        if settlement is not None:
            settlements.append(settlement)
    return ReadCall(tenant, state, rounds, settlements, stored.now, grace_us)


async def _with_forgotten_rounds(store: Store, tenant: str, cid: str, state: CallState) -> CallState:
    """Add the traces of forgotten rounds that matter for the rounds that are still open."""
    rings = {
        ring_trace(round_.session_id, user): (round_.session_id, user)
        for round_ in state.rounds
        for user in round_.recipients - round_.settled
    }
    known = {round_.session_id for round_ in state.rounds}
    named = {stamp.session_id for stamps in state.history.values() for stamp in stamps} - known
    sessions = {session_trace(session_id): session_id for session_id in named}
    names = [*rings, *sessions]
    if not names:
        return state
    scores = await until_redis_answers(lambda: store.call(*read_traces(tenant, cid, names)))
    found = {name: Micros(int(float(score))) for name, score in zip(names, scores, strict=True) if score is not None}
    return replace(
        state,
        forgotten_rings={rings[name]: at for name, at in found.items() if name in rings},
        forgotten_sessions=frozenset(sessions[name] for name in found if name in sessions),
    )


def _round_state(round_: QueuedRound, fields: Mapping[str, str], redis_ahead_us: int) -> RoundState:
    """Read a round: `u:<user>` for each recipient, `o:<user>` for each standing that is recorded."""
    return RoundState(
        started_at=round_.started_at,
        session_id=round_.session_id,
        deadline=round_.deadline,
        recipients=frozenset(name.removeprefix("u:") for name in fields if name.startswith("u:")),
        callers=round_.callers,
        ringless=round_.ringless,
        settled=frozenset(name.removeprefix("o:") for name in fields if name.startswith("o:")),
        taken_at=Micros(round_.queued_at - redis_ahead_us) if round_.queued_at else Micros(0),
        missed_due=round_.missed_due,
    )
