"""Pushes to every device of every recipient of a round: plan, send to all at once, record each outcome."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import structlog

from bellhop.clock import Micros, elapsed, from_nanoseconds
from bellhop.domain.outcomes import Outcome
from bellhop.domain.plan import Plan, Skip, plan
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Recipient
from bellhop.i18n.texts import BUILT_IN, Texts
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics
from bellhop.trail import JobPickedUp, PushSkipped, TokenChecked, TokenFate, encode
from worker.delivery.attempt import Delivered, ProviderChannels, deliver
from worker.delivery.device_lookup import StreamDeviceLookup
from worker.delivery.fence import Fence
from worker.delivery.record_buffer import RecordBuffer
from worker.delivery.retry_policy import RetryPolicy
from worker.delivery.token_pruning import TokenPruner

log = structlog.get_logger()

PLANNED_AT_ONCE = 20
"""Recipients planned before other tasks get a turn: building the pushes of a thousand users takes seconds."""
NO_TOKEN = frozenset({Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_CREDENTIALS})
"""After one of these, another token of the same phone is tried, if there is one."""
WORKER_DIGITS = 8
"""Characters of a worker's name on the trail: the part that differs between workers."""


@dataclass(frozen=True, slots=True)
class DeliveryTools:
    """What all fan-outs of a worker share."""

    store: Store
    worker: str
    channels: ProviderChannels
    token_pruner: TokenPruner
    device_lookup: StreamDeviceLookup | None = None
    """None: users without devices are not looked up at Stream."""
    texts: Texts = BUILT_IN
    ticket_secret: bytes = b""
    """Empty: rings carry no ticket."""
    policy: RetryPolicy = field(default_factory=RetryPolicy)


class FanOut:
    """One run of one job: the pushes of one kind in one round."""

    def __init__(self, tools: DeliveryTools, kind: PushKind, round_: QueuedRound) -> None:
        self._tools, self._kind, self._round = tools, kind, round_
        self._fence = Fence(tools.store, tools.worker, kind, round_, _picked_up(kind, round_, tools.worker))
        self._records = RecordBuffer(self._fence)

    async def run(self) -> list[Delivered]:
        """Push to every recipient; returns the result of each push. Waits while Redis is away."""
        tools, round_ = self._tools, self._round
        user_ids = [recipient.id for recipient in round_.recipients]
        users = await registry.read_users(tools.store, round_.tenant, user_ids, round_.caller_id)
        try:
            if self._kind is PushKind.RING and tools.device_lookup and not all(users.devices.values()):
                results = await self._ring_with_lookup(users, tools.device_lookup)
            else:
                results = await self._send(round_.recipients, users)
            await self._records.written()
        except BaseException:  # the next run of this job must know what was sent
            await asyncio.shield(self._records.flush())
            raise
        return results

    def last_records(self) -> list[Command]:
        """What is still to be written, together with the end of the job (see RecordBuffer)."""
        return self._records.take()

    async def _ring_with_lookup(self, users: RegisteredUsers, lookup: StreamDeviceLookup) -> list[Delivered]:
        """Ring users with devices at once, and each other user as soon as Stream has listed their devices."""

        async def look_up_and_ring(recipient: Recipient) -> list[Delivered]:
            # This clock may differ from Redis's, so the whole length of the ring is allowed here. The fence, which uses
            # Redis's clock, refuses a push after the deadline.
            within_s = elapsed(self._round.started_at, self._round.deadline)
            users.devices[recipient.id] = await lookup.devices_of(self._round.tenant, recipient.id, within_s)
            return await self._send([recipient], users)

        recipients = self._round.recipients
        known = [recipient for recipient in recipients if users.devices[recipient.id]]
        unknown = [recipient for recipient in recipients if not users.devices[recipient.id]]
        return [*chain.from_iterable(await asyncio.gather(self._send(known, users), *map(look_up_and_ring, unknown)))]

    async def _send(self, recipients: Sequence[Recipient], users: RegisteredUsers) -> list[Delivered]:
        planned = await self._plan(recipients, users)
        if len(planned.pushes) == 1 and not planned.skips:  # most rings: no further task is needed
            results = await self._push(planned.pushes[0])
        else:
            sending = asyncio.gather(*map(self._push, planned.pushes))
            sent, _ = await asyncio.gather(sending, self._record_skips(planned.skips))
            results = [*chain.from_iterable(sent)]
        self._log(planned.skips, results)
        return results

    async def _plan(self, recipients: Sequence[Recipient], users: RegisteredUsers) -> Plan:
        pushes: list[Push] = []
        skips: list[Skip] = []
        for first in range(0, len(recipients), PLANNED_AT_ONCE):
            part = plan(
                self._kind,
                self._round,
                users.devices,
                from_nanoseconds(time.time_ns()),
                users.users,
                self._tools.texts,
                receipt_secret=self._tools.ticket_secret,
                recipients=recipients[first : first + PLANNED_AT_ONCE],
                queued_at=self._round.queued_at,
            )
            pushes += part.pushes
            skips += part.skips
            if len(recipients) > PLANNED_AT_ONCE:
                await asyncio.sleep(0)
        return Plan(pushes, skips)

    async def _push(self, push: Push) -> list[Delivered]:
        """Send a push, and to another token of the same phone if the first is not valid."""
        tools = self._tools
        result = await deliver(push, tools.channels, self._fence, tools.policy)
        self._records.add(result.record)
        fate = await tools.token_pruner.update_registry(self._round.tenant, push.device, result)
        if fate is not None:
            await self._fence.note([_token(push, fate)])
        if push.instead and result.outcome in NO_TOKEN:
            return [result, *await self._push(push.instead)]
        return [result]

    async def _record_skips(self, skips: Sequence[Skip]) -> None:
        """Write skips to the trail. Remember rings held back by quiet hours: a second call may get through."""
        await self._fence.note([_skipped(self._kind, self._round, skip) for skip in skips])
        for skip in skips:
            if self._kind is PushKind.RING and skip.reason is Outcome.QUIET_HOURS:
                round_ = self._round
                command = registry.hold_back(round_.tenant, skip.user_id, round_.caller_id, round_.started_at)
                await until_redis_answers(partial(self._tools.store.script, *command))

    def _log(self, skips: Iterable[Skip], results: Iterable[Delivered]) -> None:
        """Count the outcome of each push, and log all of them in one line."""
        ends = [(skip.device, skip.reason) for skip in skips]
        ends += [(result.push.device, result.outcome) for result in results]
        counts: dict[str, int] = {}
        for device, outcome in ends:
            metrics.finished(self._kind, device, outcome)
            counts[outcome] = counts.get(outcome, 0) + 1
        log.info("pushed", kind=self._kind, cid=self._round.cid, **counts)


def _picked_up(kind: PushKind, round_: QueuedRound, worker: str) -> str:
    if kind is PushKind.MISSED:  # these jobs are many, and not urgent: no line for each
        return ""
    now = from_nanoseconds(time.time_ns())
    return encode(JobPickedUp(at=now, round=round_.started_at, job=kind, worker=worker[-WORKER_DIGITS:]))


def _token(push: Push, fate: TokenFate) -> str:
    device = push.device
    return encode(
        TokenChecked(
            at=from_nanoseconds(time.time_ns()),
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
            at=from_nanoseconds(time.time_ns()),
            round=round_.started_at,
            kind=kind,
            user=skip.user_id,
            outcome=skip.reason,
            device=device.key if device else "",
            label=device.label if device else "",
        )
    )
