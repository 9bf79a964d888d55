"""Asks Stream for the state of a ring, because webhooks may be lost. The answer becomes stamps of the call.

All processes share one budget of requests. One process at a time asks about a call, and for a second after an answer
none asks again. The script that applies webhooks applies these stamps too, so their order does not matter either.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import uuid4

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Micros, Seconds
from bellhop.domain.call import CallState, Stamp, has_history, history_fields
from bellhop.domain.call_snapshot import CallSnapshot
from bellhop.domain.clock_offset import observe_answer
from bellhop.domain.stamp_history import PastStamp
from bellhop.queue.job_payloads import CallRef, QueuedRound, job
from bellhop.queue.names import SETTLE_JOB
from bellhop.settings import Settings
from bellhop.store import clock_differences
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import (
    EventToTake,
    claim_question,
    keep_answer,
    take_event,
)
from bellhop.store.homes import partition_with
from bellhop.store.keys import QUESTION_BUDGET, call_key, trail_key
from bellhop.store.limit_scripts import spend_budget
from bellhop.store.redis_clock import read_time
from bellhop.store.retry import until_redis_answers
from bellhop.store.stored_call import StoredCall, read_call
from bellhop.stream_api import RingQuestion, StreamRefused
from bellhop.telemetry import metrics
from bellhop.telemetry.correlation import origin
from bellhop.trail import DAY_S, SESSION_DIGITS, QuestionOutcome, StreamAsked, encode, learned_stamp

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QuestionLimits:
    """The times of a question."""

    answer_s: Seconds = Seconds(1.5)
    """How long a question may take, including the wait for another process's question about the same call."""
    kept_ms: int = 1_000
    """For how long after an answer nobody asks about the call again."""
    poll_s: Seconds = Seconds(0.05)
    """How often to look whether another process's question has ended."""
    pause_s: Seconds = Seconds(60.0)
    """For how long no question goes to an app that does not accept our secret."""


class AskedRing(NamedTuple):
    """The ring that a question is about."""

    tenant: str
    cid: str
    session_id: str = ""
    started_at: Micros = Micros(0)
    creator_id: str = ""

    @classmethod
    def of(cls, round_: QueuedRound) -> "AskedRing":
        """Name the ring of a round."""
        # The caller comes first; then the creator, if that is somebody else.
        creator = round_.callers[-1] if round_.callers else round_.caller_id
        return cls(round_.tenant, round_.cid, round_.session_id, round_.started_at, creator)


class AskedStream(NamedTuple):
    """The result of a question."""

    outcome: QuestionOutcome
    milestone: StreamAsked | None = None
    """The line for the trail; None if there is none."""


class RingStates(Protocol):
    """Answers questions about the rings of one Stream app; `bellhop.stream_api.StreamApi` does."""

    async def ring_state(self, ring: RingQuestion, permit: "Permit") -> CallSnapshot | None:
        """Read the state of a ring, or raise StreamRefused."""
        ...

    def now(self) -> Micros | None:
        """Return the time by Stream's clock; None if no answer has given it."""
        ...


class _BudgetSpent(Exception):  # noqa: N818 - it is no error
    """No request may be sent now."""


class Permit:
    """Takes a request from the budget of all processes."""

    def __init__(self, store: Store, per_s: float) -> None:
        self._store, self._per_s = store, per_s

    async def __call__(self) -> None:
        """Allow one request, or raise."""
        if not await self._store.script(*spend_budget(QUESTION_BUDGET, self._per_s)):
            raise _BudgetSpent


class StreamQuestions:
    """Asks Stream about rings, at most `per_s` requests in a second for all processes together."""

    def __init__(
        self,
        store: Store,
        apps: Mapping[str, RingStates],
        per_s: float,
        *,
        trail_ttl_s: int = DAY_S,
        limits: QuestionLimits | None = None,
    ) -> None:
        """`apps`: by tenant."""
        self._store, self._apps, self._permit = store, apps, Permit(store, per_s)
        self._trail_ttl_s, self._limits = trail_ttl_s, limits or QuestionLimits()
        self._paused_until_s: dict[str, float] = {}

    async def ask(self, ring: AskedRing, kind: str = "", since: Micros | None = None) -> AskedStream:
        """Ask about a ring, once, and apply the answer. Never raises for Stream; waits while Redis is away.

        `kind`: the push that is due. `since`: before a notice, the moment that the question is about; the call keeps
        it, so that the next look at the call does not ask again.
        """
        ends_s = time.monotonic() + self._limits.answer_s
        run = uuid4().hex
        while (claim := await self._claim(ring, run)) != b"go":
            if claim == b"done" or time.monotonic() >= ends_s:
                return AskedStream(QuestionOutcome.SHARED)
            await asyncio.sleep(self._limits.poll_s)
        answer = await self._answer(ring, Seconds(ends_s - time.monotonic()))
        await self._learn_time(ring.tenant, ring.cid)
        milestone = await self._apply(ring, run, kind, answer, since)
        await until_redis_answers(
            lambda: self._store.call(*keep_answer(ring.tenant, ring.cid, ring.session_id, self._limits.kept_ms))
        )
        metrics.QUESTIONS.add(kind or "person", answer.outcome)
        return AskedStream(answer.outcome, milestone)

    async def _learn_time(self, tenant: str, cid: str) -> None:
        """Learn how far Redis's clock is ahead of Stream's, from the time in Stream's answers."""
        stream_now = self._apps[tenant].now() if tenant in self._apps else None
        if stream_now is None:
            return
        store, partition = self._store, partition_with(call_key(tenant, cid), self._store.partitions)
        read = clock_differences.read(tenant, partition)
        answer, redis_time = await until_redis_answers(lambda: store.together(read, ("TIME",)))
        known = clock_differences.read_answer(answer)
        learned = observe_answer(known, stream_now, read_time(redis_time))
        if learned != known:
            write = clock_differences.write(tenant, learned, partition)
            await until_redis_answers(lambda: store.together(*write))

    async def _claim(self, ring: AskedRing, run: str) -> bytes:
        claim_ms = round(self._limits.answer_s * 1000) + self._limits.kept_ms
        command = claim_question(ring.tenant, ring.cid, ring.session_id, run=run, claim_ms=claim_ms)
        claim: bytes = await until_redis_answers(lambda: self._store.script(*command))
        return claim

    async def _answer(self, ring: AskedRing, within_s: Seconds) -> "_StreamAnswer":
        """Send the question, and wait for its answer."""
        began_s, state, reason = time.monotonic(), None, ""
        try:
            async with asyncio.timeout(within_s):
                state = await self._request(ring)
            outcome = QuestionOutcome.UNKNOWN_CALL if state is None else QuestionOutcome.ANSWERED
        except _BudgetSpent:
            outcome = QuestionOutcome.OVER_BUDGET
        except StreamRefused as refused:
            outcome, reason = self._refused(ring.tenant, refused), str(refused)
        except (TimeoutError, RedisError) as error:
            outcome, reason = QuestionOutcome.NO_ANSWER, type(error).__name__
        return _StreamAnswer(outcome, reason, state, round((time.monotonic() - began_s) * 1000, 1))

    async def _request(self, ring: AskedRing) -> CallSnapshot | None:
        app = self._apps.get(ring.tenant)
        if app is None:
            raise StreamRefused("this Stream app is not configured", permanent=True)
        pause_s = self._paused_until_s.get(ring.tenant, 0.0) - time.monotonic()
        if pause_s > 0:
            raise StreamRefused("Stream refused an earlier question", wait_s=Seconds(pause_s))
        return await app.ring_state(RingQuestion(ring.cid, ring.session_id, ring.creator_id), self._permit)

    def _refused(self, tenant: str, refused: StreamRefused) -> QuestionOutcome:
        """Return the outcome, and pause if a further question would get the same answer."""
        if not refused.permanent and refused.wait_s is None:
            return QuestionOutcome.NO_ANSWER
        pause_s = self._limits.pause_s if refused.wait_s is None else refused.wait_s
        self._paused_until_s[tenant] = time.monotonic() + pause_s
        return QuestionOutcome.REFUSED

    async def _apply(
        self, ring: AskedRing, run: str, kind: str, answer: "_StreamAnswer", since: Micros | None
    ) -> StreamAsked | None:
        """Apply an answer's stamps, and write the trail's line. A call that Bellhop does not know is left alone."""
        if answer.outcome is QuestionOutcome.OVER_BUDGET and kind == "ring":
            return None  # no question was sent, and each pause would write a line
        stored, state = await until_redis_answers(lambda: read_call(self._store, ring.tenant, ring.cid)), answer.state
        if state is not None and since is not None:  # the question is about a notice
            state = state.without_missed()
        news = _News.of(stored, state, ring.session_id)
        milestone = StreamAsked(
            at=stored.redis_now,
            round=ring.started_at,
            kind=kind,
            outcome=answer.outcome,
            reason=answer.reason,
            ms=answer.ms,
            learned=tuple(learned_stamp(_short(name, ring.session_id), at) for name, at in news.stamps),
        )
        _log(milestone, ring)
        if not stored.fields and not await until_redis_answers(
            lambda: self._store.call("EXISTS", trail_key(ring.tenant, ring.cid))
        ):
            return milestone
        if not stored.fields:
            news = _News()
        asked = [(Stamp.ASKED + ring.session_id, max(since, stored.now))] if since is not None else []
        # Before a notice, the job that asks settles the call afterwards. Otherwise a job is queued for that.
        settles = news.stamps and since is None
        payload = CallRef(tenant=ring.tenant, cid=ring.cid, **origin("", stored.redis_now).__dict__)
        event = EventToTake(
            ring.tenant,
            ring.cid,
            run,
            stored.now,
            line=encode(milestone),
            repeated_line="",
            trail_ttl_s=self._trail_ttl_s,
            settle_at=stored.now,
            stamps=[*news.stamps, *asked],
            history=news.history,
            redis_ahead_us=stored.redis_ahead_us,
            jobs=[job(f"settle-{run}", SETTLE_JOB, payload)] if settles else [],
        )
        await until_redis_answers(lambda: self._store.script(*take_event(event)))
        return milestone


class _StreamAnswer(NamedTuple):
    outcome: QuestionOutcome
    reason: str
    state: CallSnapshot | None
    ms: float


class _News(NamedTuple):
    """The stamps of an answer that the call does not have yet."""

    stamps: tuple[tuple[str, Micros], ...] = ()
    history: tuple[tuple[str, Micros], ...] = ()
    """The fields that keep stamps one by one (`bellhop.domain.stamp_history`)."""

    @classmethod
    def of(cls, stored: StoredCall, state: CallSnapshot | None, session_id: str) -> "_News":
        """Compare an answer with what Redis has of the call."""
        if state is None:
            return cls()
        call, session_id = CallState(stored.stamps), state.session_id or session_id
        news = tuple((name, at) for name, at in state.stamps(stored.now) if _is_new(call, name, at))
        in_session = [(name, PastStamp(at, session_id)) for name, at in news]
        return cls(news, history_fields([*in_session, *state.presence(stored.now)]))


def _is_new(call: CallState, name: str, at: Micros) -> bool:
    if has_history(name):
        return all(stamp.at != at for stamp in call.all_of(name))
    return at > call.stamps.get(name, -1)


def _short(name: str, session_id: str) -> str:
    """Cut the session's id in a stamp's name, as the trail does in its other lines."""
    return name.replace(session_id, session_id[:SESSION_DIGITS], 1) if session_id else name


def _log(milestone: StreamAsked, ring: AskedRing) -> None:
    facts = {"cid": ring.cid, "kind": milestone.kind, "outcome": milestone.outcome}
    if milestone.outcome in (QuestionOutcome.ANSWERED, QuestionOutcome.UNKNOWN_CALL):
        log.info("stream_asked", **facts, learned=len(milestone.learned), ms=milestone.ms)
    else:
        log.warning("stream_not_asked", **facts, reason=milestone.reason)


def stream_questions(settings: Settings, store: Store, apps: Mapping[str, RingStates]) -> StreamQuestions | None:
    """Return what asks these apps, which are by tenant; None if the settings want no questions, or have no app."""
    if not settings.stream_questions_per_s or not apps:
        return None
    return StreamQuestions(store, apps, settings.stream_questions_per_s, trail_ttl_s=settings.trail_days * DAY_S)
