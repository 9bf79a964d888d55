"""What each job does. Begin reading here, and in webhook/intake/.

RQ stores a job's name ("worker.jobs.ring") and one JSON payload. The worker finds its handler in `Jobs.handlers`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import RedisError

from bellhop.clock import Micros, Seconds, micros
from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import ends_the_ring
from bellhop.domain.push import PushKind
from bellhop.queue import names
from bellhop.queue.job_payloads import QueuedRound, StartedRound, read_payload
from bellhop.queue.rq_job import JobError
from bellhop.store.keys import trail_key
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from bellhop.telemetry import correlation
from bellhop.trail import QuestionOutcome, StreamAsked, encode
from worker.announcements.outbox import OutboxJobs
from worker.delivery.attempt import SENT, Delivered
from worker.delivery.call_members import MembersUnknown, with_members
from worker.delivery.fan_out import DeliveryTools, FanOut
from worker.delivery.ring_endings import end_rings, quiet_ends
from worker.delivery.whole_ring import run_ring
from worker.derived_notices import DerivedNotices
from worker.email.digest import EmailDigest
from worker.gentle_start import Begun, GentleStart
from worker.queue.running_jobs import Handler, ran_before
from worker.rejection_carrier import RejectionCarrier
from worker.settle import settle_call

OUTBOXES_BEGINNING = 8
"""Outboxes of one kind whose jobs begin at the same time. Each only runs one script before it waits for an answer."""


class Jobs:
    """The handler of each job. It returns the writes that are still to be done, together with the end of the job."""

    def __init__(
        self,
        tools: DeliveryTools,
        missed_grace_s: Seconds,
        digest: EmailDigest | None = None,
        outboxes: Sequence[OutboxJobs] = (),
        rejections: RejectionCarrier | None = None,
    ) -> None:
        self._tools, self._grace_us, self._digest = tools, micros(missed_grace_s), digest
        self._derived = DerivedNotices(tools.store, tools.stream_state)
        gently = GentleStart()
        handlers: dict[str, Handler] = {
            names.RING_JOB: self.ring,
            names.NOTIFY_JOB: self.notify,
            names.NOTICE_JOB: gently(self.notice),
            names.SETTLE_JOB: self.settle,
        }
        if digest is not None:
            handlers[names.MAIL_JOB] = gently(digest.send)
        for outbox in outboxes:
            handlers[outbox.job_name] = GentleStart(OUTBOXES_BEGINNING)(outbox.drain)
        if rejections is not None:
            handlers[names.REJECT_JOB] = GentleStart()(rejections.reject)
        now = tools.clock.now
        self.handlers = {job_name: _correlated(job_name, handler, now) for job_name, handler in handlers.items()}

    async def ring(self, payload: dict[str, Any]) -> Sequence[Command]:
        """Ring all devices of all recipients at once, and some of them again, if that is switched on."""
        round_ = read_payload(names.RING_JOB, payload)
        return await run_ring(self._tools, round_)

    async def notify(self, payload: dict[str, Any]) -> Sequence[Command]:
        """Tell the members about a call by a quiet push: that they are invited, or that it began."""
        kind, round_ = PushKind.NOTIFICATION, read_payload(names.NOTIFY_JOB, payload)
        if isinstance(round_, StartedRound):
            kind, round_ = round_.push, await self._with_members(round_)
        fan_out = FanOut(self._tools, kind, round_)
        await fan_out.run()
        return fan_out.last_records()

    async def _with_members(self, round_: StartedRound) -> StartedRound:
        """Ask Stream for the members. If it does not answer, note that on the trail, and raise MembersUnknown."""
        tools = self._tools
        try:
            return await with_members(round_, tools.stream_apis)
        except MembersUnknown as error:
            line = StreamAsked(
                at=tools.clock.now(),
                round=round_.started_at,
                kind=round_.push,
                outcome=QuestionOutcome.NO_ANSWER,
                reason=error.reason,
            )
            await tools.store.call("RPUSHX", trail_key(round_.tenant, round_.cid), encode(line))
            raise

    async def notice(self, payload: dict[str, Any], begun: Begun = lambda: None) -> Sequence[Command]:
        """Tell a user about the call they missed: by push and, if one is due, by e-mail."""
        round_ = read_payload(names.NOTICE_JOB, payload)
        fan_out = FanOut(self._tools, PushKind.MISSED, round_, begun)
        results = await fan_out.run()
        pushed = [result for result in results if result.outcome in SENT]
        if self._digest is not None and _decides_about_email(round_, fan_out, pushed, self._digest):
            await fan_out.write_records()
            await self._digest.add_missed_call(round_, pushed=bool(pushed))
        if any(map(_worth_another_try, results)):
            await fan_out.write_records()
            raise JobError("a missed-call notice could not be handed over in time; it is tried again later")
        return fan_out.last_records()

    async def settle(self, payload: dict[str, Any]) -> None:
        """Record the standings that are final now, and queue the notices that are due.

        If a ring is over and no notice replaces it, it is removed here from browsers, and from iPhones that ring by
        alerts. If the job ran before, that run may have recorded a standing without removing the ring. Then all such
        rings of the call are removed again.
        """
        tools, ref = self._tools, read_payload(names.SETTLE_JOB, payload)
        ended = await settle_call(
            tools.store,
            ref.tenant,
            ref.cid,
            self._grace_us,
            self._derived,
            tools.audience,
            tools.missed_kept_s,
            in_turn=tools.in_turn,
        )
        if ran_before.get():
            ended = await quiet_ends(tools.store, ref.tenant, ref.cid)
        await end_rings(tools, ended)


def _correlated(job_name: str, handler: Handler, now: Callable[[], Micros]) -> Handler:
    """Tie the log lines and the span of each run of a job to the webhook that caused it.

    If Redis is away, the handler is repeated here, and nowhere else: the run has one span, and its time in the queue is
    counted once.
    """

    async def run(payload: dict[str, Any]) -> Sequence[Command] | None:
        with correlation.picked_up(names.QUEUE_OF[job_name], job_name, payload, now()):
            return await until_redis_answers(lambda: _attempt(handler, payload))

    return run


async def _attempt(handler: Handler, payload: dict[str, Any]) -> Sequence[Command] | None:
    try:
        return await handler(payload)
    except RedisError:
        ran_before.set(True)
        raise


def _decides_about_email(
    round_: QueuedRound, fan_out: FanOut, pushed: Sequence[Delivered], digest: EmailDigest
) -> bool:
    """Tell whether this job of a notice decides about the e-mail.

    While a phone may still ring, a notice has two jobs: the first puts off the pushes that would end the ring. The
    first job decides, unless the e-mail depends on such a push.
    """
    if round_.left_over:
        first_job_pushed = any(not ends_the_ring(PushKind.MISSED, result.push.device) for result in pushed)
        return fan_out.had_work and not first_job_pushed and digest.depends_on_pushes
    return bool(pushed) or not fan_out.skipped_a_ringing_phone or not digest.depends_on_pushes


def _worth_another_try(result: Delivered) -> bool:
    """Whether a push was given up that cannot have reached the phone. A missed-call notice is useful for a day."""
    return result.outcome is Outcome.GAVE_UP and result.last is not None and not result.unknown
