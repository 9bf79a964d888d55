"""Decides what a derived missed-call notice waits for: a question to Stream, and Stream's call.missed.

A notice is derived if no call.missed asks for it. It waits for two seconds at most.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from redis.exceptions import RedisError

from bellhop.clock import Micros, Seconds
from bellhop.domain.call import CallState, RoundState, Stamp
from bellhop.domain.derived_notice import ended_at, is_derived, waits_until, was_asked
from bellhop.domain.settlement import Settlement
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store.async_client import Store
from bellhop.store.keys import missed_seen_key
from bellhop.store.retry import is_away
from worker.stream_state import DerivedNotice, StreamState
from worker.turns import in_turns

SEEN_S = 24 * 3600
"""If an app sent no call.missed for so long, none is waited for: its webhook may not include the event."""
NOTED_AGAIN_S = Seconds(600.0)
"""How often a process notes that an app sends call.missed."""


class ReadCall(NamedTuple):
    """A call as it was read, and the settlements that are final in it."""

    tenant: str
    state: CallState
    rounds: Mapping[Micros, QueuedRound]
    """By their start."""
    settlements: Sequence[Settlement]
    now: Micros
    grace_us: Micros

    def states(self) -> Mapping[Micros, RoundState]:
        """Return the rounds by their start."""
        return {round_.started_at: round_ for round_ in self.state.rounds}


class HeldUp(NamedTuple):
    """Settlements that must not be recorded yet, and why."""

    settlements: frozenset[Settlement] = frozenset()
    questions: tuple[DerivedNotice, ...] = ()
    """What to ask Stream first."""
    until: Micros = Micros(0)
    """When to look at the call again; 0 if there are questions, or if nothing waits."""


class DerivedNotices:
    """Decides what derived notices wait for."""

    def __init__(self, store: Store, stream: StreamState | None) -> None:
        """`stream`: None if Stream is not asked."""
        self._store, self._stream = store, stream
        self._noted_at_s: dict[str, float] = {}

    async def held_up(self, call: ReadCall, *, asked: bool) -> HeldUp:
        """Find the settlements that must wait, and what they wait for. `asked`: Stream was asked just now."""
        await self._note_missed(call)
        state, states = call.state, call.states()
        derived = [
            (found, states[found.started_at])
            async for found in in_turns(call.settlements)
            if is_derived(state, states[found.started_at], found)
        ]
        if self._stream is not None and not asked:
            unasked = [
                (found, round_)
                async for found, round_ in in_turns(derived)
                if not was_asked(state, round_, found.user, call.grace_us)
            ]
            if unasked:
                return HeldUp(frozenset(found for found, _ in unasked), await _questions(call, unasked))
        waiting: dict[Settlement, Micros] = {}
        async for found, round_ in in_turns(derived):
            if until := waits_until(state, round_, found, call.now):
                waiting[found] = until
        if not waiting or not await self._missed_may_come(call.tenant):
            return HeldUp()
        return HeldUp(frozenset(waiting), until=min(waiting.values()))

    async def ask(self, questions: Iterable[DerivedNotice]) -> None:
        """Ask Stream, and wait for its answers."""
        if self._stream is not None:
            await self._stream.before_notices(questions)

    async def _note_missed(self, call: ReadCall) -> None:
        """Remember for a day that this app sends call.missed."""
        tenant = call.tenant
        seen = any(name.startswith((Stamp.MISSED, Stamp.MISSED_QUIETLY)) for name in call.state.stamps)
        if seen and time.monotonic() - self._noted_at_s.get(tenant, -NOTED_AGAIN_S) >= NOTED_AGAIN_S:
            with suppress(RedisError):  # a later call notes it
                await self._store.call("SET", missed_seen_key(tenant), "", "EX", SEEN_S)
                self._noted_at_s[tenant] = time.monotonic()

    async def _missed_may_come(self, tenant: str) -> bool:
        if self._stream is not None and not self._stream.may_send_missed(tenant):
            return False
        try:
            return bool(await self._store.call("EXISTS", missed_seen_key(tenant)))
        except RedisError as error:
            if not is_away(error):
                raise
            return True  # on a cluster, another node has the call: the notice waits two seconds, and not for this node


async def _questions(call: ReadCall, unasked: Iterable[tuple[Settlement, RoundState]]) -> tuple[DerivedNotice, ...]:
    """Make one question for each session, about its latest round."""
    questions: dict[str, DerivedNotice] = {}
    async for settlement, state in in_turns(unasked):
        round_ = call.rounds[settlement.started_at]
        ended = ended_at(call.state, state, settlement.user, call.grace_us)
        before = questions.get(round_.session_id)
        if before is not None:
            round_ = max(round_, before.round, key=lambda other: other.started_at)
            ended = max(ended, before.ended_at)
        questions[round_.session_id] = DerivedNotice(round_, ended)
    return tuple(questions.values())
