"""What each job does. A newcomer who reads this and webhook/intake/apply.py knows the program.

RQ stores a job's name ("worker.jobs.ring") and one JSON payload; the worker looks the name up in `Jobs.handlers`.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import structlog

from bellhop.clock import Micros, Seconds, from_nanoseconds, micros, seconds
from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import Plan, Skip, plan
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Recipient
from bellhop.i18n.texts import BUILT_IN, Texts
from bellhop.queue import names
from bellhop.queue.job_payloads import CallRef, QueuedRound, read_payload
from bellhop.queue.rq_job import JobError
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.registry import People
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics
from bellhop.trail import JobPickedUp, PushSkipped, TokenChecked, TokenFate, encode
from worker.delivery.attempt import Delivered, ProviderChannels, deliver
from worker.delivery.device_lookup import StreamDeviceLookup
from worker.delivery.fence import Fence
from worker.delivery.token_pruning import TokenPruner
from worker.email.digest import EmailDigest
from worker.queue.concurrency_limit import JobSlot
from worker.queue.running_jobs import Handler, Job
from worker.settle import settle_call

log = structlog.get_logger()

PLANNED_AT_ONCE = 20
NO_TOKEN = {Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_CREDENTIALS}
"""After these another token of the same phone is tried, if there is one."""
PUSHED = {Outcome.ACCEPTED, Outcome.DUPLICATE}
"""A provider has the push: from this run of the job, or from one that was interrupted."""
WORKER_DIGITS = 8
"""Of a worker's name on the trail: the part that no other has."""


class Jobs:
    """The jobs, with what they need: Redis, the worker's name, the ways to the providers."""

    def __init__(
        self,
        store: Store,
        worker: str,
        lanes: ProviderChannels,
        hygiene: TokenPruner,
        missed_grace_s: Seconds,
        receipt_secret: bytes = b"",
        strangers: StreamDeviceLookup | None = None,
        texts: Texts = BUILT_IN,
        mail: EmailDigest | None = None,
    ) -> None:
        self._store, self._worker, self._lanes, self._hygiene = store, worker, lanes, hygiene
        self._grace_us = micros(missed_grace_s)
        self._receipt_secret, self._strangers = receipt_secret, strangers
        self._texts, self._mail = texts, mail
        self.handlers: Mapping[str, Handler] = {
            names.RING_JOB: self.ring,
            names.NOTIFY_JOB: self.notify,
            names.NOTICE_JOB: self.notice,
            names.SETTLE_JOB: self.settle,
            **({names.MAIL_JOB: mail.send} if mail else {}),
        }

    async def ring(self, job: Job) -> list[Command]:
        """Ring every device of everybody rung, at once."""
        gate, _ = await self._push(PushKind.RING, _round(names.RING_JOB, job.payload), job)
        return gate.take_held()

    async def notify(self, job: Job) -> list[Command]:
        """Tell the members about a call, quietly."""
        gate, _ = await self._push(PushKind.NOTIFICATION, _round(names.NOTIFY_JOB, job.payload), job)
        return gate.take_held()

    async def notice(self, job: Job) -> list[Command]:
        """Tell a user about the call they missed: by push, and maybe by e-mail."""
        round_ = _round(names.NOTICE_JOB, job.payload)
        gate, results = await self._push(PushKind.MISSED, round_, job)
        if self._mail is not None:
            await gate.write_held()
            await self._mail.offer(round_, pushed=any(result.outcome in PUSHED for result in results))
        if any(map(_worth_another_try, results)):
            await gate.write_held()
            raise JobError("a missed-call notice could not be handed over in time; it is tried again later")
        return gate.take_held()

    async def settle(self, job: Job) -> None:
        """Record the outcomes that have become final, and queue the notices that are due."""
        ref = read_payload(names.SETTLE_JOB, job.payload)
        assert isinstance(ref, CallRef)  # noqa: S101 - tells the type checker what the table says
        await settle_call(self._store, ref.tenant, ref.cid, self._grace_us)

    async def _push(self, kind: PushKind, round_: QueuedRound, job: Job) -> tuple[Fence, list[Delivered]]:
        """Push to everybody; the gate holds what is to be written with the end of the job."""
        users = [recipient.id for recipient in round_.recipients]
        gate = Fence(self._store, self._worker, kind, round_, _picked_up(kind, round_, self._worker))
        if job.people is not None:
            people = registry.people_in(job.people, users)
        else:
            people = await registry.people_of(self._store, round_.tenant, users, round_.caller_id)
        try:
            with job.slot.idle():
                if kind is not PushKind.RING or self._strangers is None or all(people.devices.values()):
                    return gate, await self._send(gate, kind, round_, people, job.slot)
                return gate, await self._ring_known_and_strangers(gate, round_, people, self._strangers, job.slot)
        except BaseException:  # this job does not end here: what was sent must be known to whoever runs it again
            await asyncio.shield(gate.write_held())
            raise

    async def _ring_known_and_strangers(
        self, gate: Fence, round_: QueuedRound, people: People, strangers: StreamDeviceLookup, slot: JobSlot
    ) -> list[Delivered]:
        """Ring who is known at once, and each stranger as soon as Stream has said where."""

        async def ring(recipients: Sequence[Recipient]) -> list[Delivered]:
            some = round_.model_copy(update={"recipients": tuple(recipients)})
            results = await self._send(gate, PushKind.RING, some, people, slot)
            await gate.write_held()  # others are still being rung
            return results

        async def ring_stranger(recipient: Recipient) -> list[Delivered]:
            # No clock but Redis's says when the ring is over, and the gate asks that one.
            within_s = seconds(round_.deadline - round_.started_at)
            people.devices[recipient.id] = await strangers.devices_of(round_.tenant, recipient.id, within_s)
            return await ring([recipient])

        known = [recipient for recipient in round_.recipients if people.devices[recipient.id]]
        unknown = [recipient for recipient in round_.recipients if not people.devices[recipient.id]]
        return [*chain.from_iterable(await asyncio.gather(ring(known), *map(ring_stranger, unknown)))]

    async def _send(
        self, gate: Fence, kind: PushKind, round_: QueuedRound, people: People, slot: JobSlot
    ) -> list[Delivered]:
        """Push to everybody known, and hold the last record."""
        with slot.busy():
            planned = await self._plan(kind, round_, people)
        under_way = len(planned.pushes)

        async def send(push: Push) -> list[Delivered]:
            """Send it, and to another token of the same phone if this one is none."""
            nonlocal under_way
            result = await deliver(push, self._lanes, gate, slot)
            instead = push.instead if result.outcome in NO_TOKEN else None
            under_way -= instead is None
            await gate.end(result.record, last=not under_way)
            await self._learn(gate, round_.tenant, push, result)
            return [result, *(await send(instead) if instead else [])]

        if len(planned.pushes) == 1 and not planned.skips:  # as most rings are: no other task is needed
            results = await send(planned.pushes[0])
        else:
            sending = asyncio.gather(*map(send, planned.pushes))
            sent, _ = await asyncio.gather(sending, self._keep(gate, kind, round_, planned.skips))
            results = [*chain.from_iterable(sent)]
        _tell(kind, round_, planned.skips, results)
        return results

    async def _plan(self, kind: PushKind, round_: QueuedRound, people: People) -> Plan:
        """Plan for a few people at a time: a crowd's pushes take seconds to make, and others ring meanwhile."""
        whole = Plan([], [])
        for first in range(0, len(round_.recipients), PLANNED_AT_ONCE):
            few = round_.recipients[first : first + PLANNED_AT_ONCE]
            planned = plan(
                kind,
                round_,
                people.devices,
                from_nanoseconds(time.time_ns()),
                people.persons,
                self._texts,
                receipt_secret=self._receipt_secret,
                recipients=few,
                queued_at=round_.queued_at,
            )
            whole.pushes.extend(planned.pushes)
            whole.skips.extend(planned.skips)
            if len(few) < len(round_.recipients):
                await asyncio.sleep(0)
        return whole

    async def _learn(self, gate: Fence, tenant: str, push: Push, result: Delivered) -> None:
        """Take in what the answer says of the device's token."""
        fate = await self._hygiene.learn(tenant, push.device, result)
        if fate is not None:
            await gate.note([_token(push, fate)])

    async def _keep(self, gate: Fence, kind: PushKind, round_: QueuedRound, skips: Sequence[Skip]) -> None:
        """Put skips on the trail, and remember the rings that quiet hours held back: a second one may get through."""
        await gate.note([_skipped(kind, round_, skip) for skip in skips])
        for skip in skips:
            if kind is PushKind.RING and skip.reason is Outcome.QUIET_HOURS:
                command = registry.hold_back(round_.tenant, skip.user_id, round_.caller_id, round_.started_at)
                await until_redis_answers(partial(self._store.script, *command))


def _worth_another_try(result: Delivered) -> bool:
    """Whether a push was given up that nobody can have got: a notice is worth telling for a day."""
    return result.outcome is Outcome.GAVE_UP and result.last is not None and not result.unknown


def _round(name: str, payload: dict[str, Any]) -> QueuedRound:
    round_ = read_payload(name, payload)
    assert isinstance(round_, QueuedRound)  # noqa: S101 - tells the type checker what the table says
    return round_


def _tell(kind: PushKind, round_: QueuedRound, skips: Iterable[Skip], results: Iterable[Delivered]) -> None:
    """Count what became of each push, and say it in one line of the log."""
    ends = [(skip.device, skip.reason) for skip in skips] + [(end.push.device, end.outcome) for end in results]
    counts: dict[str, int] = {}
    for device, outcome in ends:
        metrics.finished(kind, device, outcome)
        counts[outcome] = counts.get(outcome, 0) + 1
    log.info("pushed", kind=kind, cid=round_.cid, **counts)


def _picked_up(kind: PushKind, round_: QueuedRound, worker: str) -> str:
    if kind is PushKind.MISSED:  # a job for each user: too many words about what nobody waits for
        return ""
    now = Micros(time.time_ns() // 1000)
    return encode(JobPickedUp(at=now, round=round_.started_at, job=kind, worker=worker[-WORKER_DIGITS:]))


def _token(push: Push, fate: TokenFate) -> str:
    device = push.device
    return encode(
        TokenChecked(
            at=Micros(time.time_ns() // 1000),
            round=Micros(push.round),
            kind=push.kind,
            user=device.user_id,
            device=device.key,
            label=device.label,
            provider=device.provider,
            detail=fate,
        )
    )


def _skipped(kind: PushKind, round_: QueuedRound, skip: Skip) -> str:
    device = skip.device
    return encode(
        PushSkipped(
            at=Micros(time.time_ns() // 1000),
            round=round_.started_at,
            kind=kind,
            user=skip.user_id,
            outcome=skip.reason,
            device=device.key if device else "",
            label=device.label if device else "",
        )
    )
