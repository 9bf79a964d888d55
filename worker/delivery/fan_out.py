"""The run of a ring, notification or notice job: plan its pushes, send them all at once, record each outcome."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import structlog
from redis.exceptions import RedisError

from bellhop.audience import Audience
from bellhop.clock import Micros, Seconds, elapsed
from bellhop.domain.device import Device
from bellhop.domain.outcomes import MEANING, Outcome, Tone
from bellhop.domain.own_pushes import NO_TEMPLATES, PushTemplates
from bellhop.domain.plan import Plan, Skip, ends_the_ring, plan
from bellhop.domain.push import FURTHER_RINGS, RINGING, Push, PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.user import NO_USER
from bellhop.i18n.texts import BUILT_IN, Texts
from bellhop.queue.job_payloads import QueuedRound
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.keys import devices_key
from bellhop.store.missed_calls import note_seen
from bellhop.store.redis_clock import RedisClock
from bellhop.store.registry import RegisteredUsers
from bellhop.store.retry import is_away, until_redis_answers
from bellhop.store.scripts import Command
from bellhop.stream_api import StreamApi
from bellhop.telemetry import metrics
from bellhop.trail import DeviceMilestone, JobPickedUp, PushReduced, PushSkipped, PushWaited, TokenChecked, encode
from worker.announcements.ring_news import RingNews
from worker.delivery.attempt import Delivered, ProviderChannels, deliver
from worker.delivery.callee_limit import CalleeLimit
from worker.delivery.device_lookup import StreamDeviceLookup
from worker.delivery.fair_queue import Group
from worker.delivery.fair_turns import FairTurns
from worker.delivery.fence import Fence, Record
from worker.delivery.record_buffer import RecordBuffer
from worker.delivery.retry_policy import RetryPolicy
from worker.delivery.sent_pushes import SentPushes
from worker.delivery.token_pruning import TokenPruner
from worker.lost_attempts import WORKER_DIGITS
from worker.queue.concurrency_limit import waiting_without_place
from worker.stream_state import StreamState

log = structlog.get_logger()

PLANNED_AT_ONCE = 8
"""Recipients whose pushes are planned and begun in one turn of the event loop. Other rings wait until it ends."""
UNUSABLE_TOKEN = frozenset(
    {Outcome.TOKEN_DEAD, Outcome.BAD_TOKEN, Outcome.WRONG_APP, Outcome.NO_APNS_KEY, Outcome.NO_CREDENTIALS}
)
"""After one of these outcomes, the push goes to another token of the same phone, if there is one."""
NO_LINE_OF_START = FURTHER_RINGS | {PushKind.MISSED, PushKind.RING_OVER}
"""The pushes whose jobs put no line about their start on the trail. Notices are many and not urgent; further rings and
the end of a ring belong to other jobs."""


@dataclass(frozen=True, slots=True)
class DeliveryTools:
    """The objects that all fan-outs of a worker share."""

    store: Store
    worker: str
    channels: ProviderChannels
    token_pruner: TokenPruner
    device_lookup: StreamDeviceLookup | None = None
    """None: users without devices are not looked up at Stream."""
    stream_state: StreamState | None = None
    """None: Stream is not asked for the state of a ring."""
    stream_apis: Mapping[str, StreamApi] = field(default_factory=dict)
    """By tenant. They are asked for the members of a call that began."""
    texts: Texts = BUILT_IN
    templates: PushTemplates = NO_TEMPLATES
    """The team's own texts and data for its pushes."""
    ticket_secret: bytes = b""
    """Empty: rings carry no ticket."""
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sent: SentPushes | None = None
    """None: the worker does not remember what it sent."""
    clock: RedisClock = field(default_factory=RedisClock)
    callee_limit: CalleeLimit | None = None
    """None: rings for one user are not counted."""
    turns: FairTurns = field(default_factory=FairTurns)
    audience: Audience | None = None
    """Who hears of announcements; None if nobody does."""
    second_way_after_us: Micros = Micros(0)
    """How long the worker waits for a phone's receipt before it rings the phone again; 0: it never does."""
    alert_ring_every_us: Micros = Micros(0)
    """After what time an alert that rings an iPhone is repeated; 0: it is not repeated."""
    missed_kept_s: int = 0
    """How long a missed call is kept while its user has not seen it; 0: missed calls are not noted."""
    in_turn: bool = False
    """Whether jobs of several tenants may wait."""
    badges: bool = False
    """Whether notices on iPhones carry the number of these calls."""


class FanOut:
    """One run of one job: the pushes of one kind in one round."""

    def __init__(
        self,
        tools: DeliveryTools,
        kind: PushKind,
        round_: QueuedRound,
        begun: Callable[[], None] = lambda: None,
        note_result: Callable[[Delivered], None] = lambda _: None,
        claim: str = "",
    ) -> None:
        """`begun`: called when a push that is not a ring goes to its provider. `note_result`: called with the result of
        each push. `claim`: the name of the claims, if it is not the kind of push."""
        self._tools, self._kind, self._round, self._begun = tools, kind, round_, begun
        self._note_result = note_result
        self._group = Group(round_.tenant, round_.started_at)
        self._stream_state = tools.stream_state if kind is PushKind.RING and not round_.test else None
        if self._stream_state is not None:
            self._late_at_s = self._stream_state.late_at_s(round_, Seconds(time.monotonic()))
        first_line = _picked_up_line(kind, round_, tools.worker, tools.clock.now())
        tickets = kind in RINGING and bool(tools.ticket_secret)
        shared = tools.sent, tools.clock, tools.turns, tools.audience
        self._fence = Fence(tools.store, tools.worker, kind, round_, first_line, *shared, tickets=tickets, claim=claim)
        self._records = RecordBuffer(self._fence)
        self._news = RingNews(kind, round_) if tools.audience and not round_.test else None
        self.had_work = False
        """Whether there was something to do."""
        self.skipped_a_ringing_phone = False
        """Whether a push was left out because it would end a ring that still goes on."""

    async def run(self) -> list[Delivered]:
        """Push to every recipient; returns the result of each push. Waits while Redis is away."""
        beginning = self._tools.turns.beginning
        if self._kind is PushKind.RING and len(self._round.recipients) <= PLANNED_AT_ONCE:
            beginning.add(self._group)
        try:
            return await self._run()
        finally:
            beginning.discard(self._group)

    async def _run(self) -> list[Delivered]:
        tenant, by_server = self._round.tenant, defaultdict[Hashable, list[Recipient]](list)
        for recipient in self._round.recipients:
            by_server[self._tools.store.server_of_key(devices_key(tenant, recipient.id))].append(recipient)
        try:
            if len(by_server) > 1:
                results = await self._side_by_side(by_server.values())
            else:
                results = await self._read_and_send(self._round.recipients)
            await self._records.written()
        except BaseException:  # the next run of this job must know what was sent
            await asyncio.shield(self._records.flush())
            raise
        return results

    async def _side_by_side(self, parts: Iterable[Sequence[Recipient]]) -> list[Delivered]:
        """Send to the users of each node of a cluster: while a node is away, the users of others do not wait for it."""
        sending = [asyncio.create_task(self._read_and_send(part)) for part in parts]
        try:
            return list(chain.from_iterable(await asyncio.gather(*sending)))
        except BaseException:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            raise

    async def _read_and_send(self, recipients: Sequence[Recipient]) -> list[Delivered]:
        end_wait = self._before_attempt()
        try:
            users = await self._read(recipients)
        finally:
            end_wait()
        devices = chain.from_iterable(users.devices.values())
        if self._round.left_over and not any(ends_the_ring(self._kind, device) for device in devices):
            return []
        self.had_work = True
        if self._kind is PushKind.RING and self._tools.device_lookup and not all(users.devices.values()):
            return await self._ring_with_lookup(recipients, users, self._tools.device_lookup)
        return await self._send(recipients, users)

    async def _read(self, recipients: Sequence[Recipient]) -> RegisteredUsers:
        """Read what is known of these users. While Redis is away, it waits, and the trail says so."""
        try:
            return await self._read_once(recipients)
        except RedisError as error:
            if not is_away(error):
                raise
        self._tools.turns.beginning.discard(self._group)
        for recipient in recipients:
            self._records.add(Record(self._redis_away_line(recipient)))
        with waiting_without_place():
            return await until_redis_answers(partial(self._read_once, recipients))

    async def _read_once(self, recipients: Sequence[Recipient]) -> RegisteredUsers:
        tools, round_ = self._tools, self._round
        users = await registry.read_users(
            tools.store,
            round_.tenant,
            [recipient.id for recipient in recipients],
            round_.caller_id,
            unseen=tools.badges and self._kind not in RINGING,
        )
        if self._kind is PushKind.RING and tools.callee_limit is not None and not round_.test:
            for user_id in await tools.callee_limit.called_too_often(round_, recipients):
                users.users[user_id] = users.users.get(user_id, NO_USER)._replace(called_too_often=True)
        return users

    def _redis_away_line(self, recipient: Recipient) -> str:
        at, round_at = self._tools.clock.now(), self._round.started_at
        return encode(PushWaited(at=at, round=round_at, kind=self._kind, user=recipient.id, outcome=Outcome.REDIS_AWAY))

    def last_records(self) -> list[Command]:
        """Return the records that the queue must write together with the end of the job (see RecordBuffer)."""
        return self._records.take()

    async def write_records(self) -> None:
        """Write now what `last_records` would return: the job goes on, or fails."""
        await self._records.flush()

    def _before_attempt(self, shortest_s: Seconds = Seconds(0.0)) -> Callable[[], object]:
        """Ask Stream about the ring if the attempt after this wait starts late; returns a function to call after it."""
        if self._stream_state is None:
            return lambda: None
        return self._stream_state.before_attempt(self._round, shortest_s, self._late_at_s)

    async def _ring_with_lookup(
        self, recipients: Sequence[Recipient], users: RegisteredUsers, lookup: StreamDeviceLookup
    ) -> list[Delivered]:
        """Ring users with devices now, and each other user when the look-up at Stream has found their devices."""

        async def look_up_and_ring(recipient: Recipient) -> list[Delivered]:
            # This clock may differ from Redis's, so the whole length of the ring is allowed here. The fence, which uses
            # Redis's clock, refuses a push after the deadline.
            within_s = elapsed(self._round.started_at, self._round.deadline)
            end_wait = self._before_attempt()
            try:
                users.devices[recipient.id] = await lookup.devices_of(self._round.tenant, recipient.id, within_s)
            finally:
                end_wait()
            return await self._send([recipient], users)

        ready = [recipient for recipient in recipients if users.devices[recipient.id]]
        without_devices = [recipient for recipient in recipients if not users.devices[recipient.id]]
        ringing = asyncio.gather(self._send(ready, users), *map(look_up_and_ring, without_devices))
        return list(chain.from_iterable(await ringing))

    async def _send(self, recipients: Sequence[Recipient], users: RegisteredUsers) -> list[Delivered]:
        if len(recipients) > PLANNED_AT_ONCE:
            skips, results = await self._send_in_parts(recipients, users)
        else:
            planned = self._plan(recipients, users)
            skips = planned.skips
            if len(planned.pushes) == 1 and not skips:  # as in most rings: this saves the tasks of gather()
                results = await self._push(planned.pushes[0])
            else:
                sending = asyncio.gather(*map(self._push, planned.pushes))
                sent, _ = await asyncio.gather(sending, self._record_skips(skips))
                results = list(chain.from_iterable(sent))
        self._log(skips, results)
        return results

    async def _send_in_parts(
        self, recipients: Sequence[Recipient], users: RegisteredUsers
    ) -> tuple[list[Skip], list[Delivered]]:
        """Plan and begin the pushes to PLANNED_AT_ONCE recipients at a time; other rings get turns in between."""
        skips: list[Skip] = []
        sending: list[asyncio.Task[list[Delivered]]] = []
        recording: list[asyncio.Task[None]] = []
        try:
            for first in range(0, len(recipients), PLANNED_AT_ONCE):
                planned = self._plan(recipients[first : first + PLANNED_AT_ONCE], users)
                if planned.skips:  # written now: the caller must not wait for the pushes to others to hear of these
                    skips += planned.skips
                    recording.append(asyncio.create_task(self._record_skips(planned.skips)))
                sending += [asyncio.create_task(self._push(push)) for push in planned.pushes]
                await self._tools.turns.let_others_go_first(self._group)
        except BaseException:
            for task in (*sending, *recording):
                task.cancel()
            await asyncio.gather(*sending, *recording, return_exceptions=True)
            raise
        sent, _ = await asyncio.gather(asyncio.gather(*sending), asyncio.gather(*recording))
        return skips, list(chain.from_iterable(sent))

    def _plan(self, recipients: Sequence[Recipient], users: RegisteredUsers) -> Plan:
        planned = plan(
            self._kind,
            self._round,
            users.devices,
            self._tools.clock.now(),
            users.users,
            self._tools.texts,
            ticket_secret=self._tools.ticket_secret,
            recipients=recipients,
            queued_at=self._round.queued_at,
            still_rings=self._round.still_rings,
            templates=self._tools.templates,
            badges=users.unseen,
        )
        if self._news:
            self._news.planned(planned)
        self.skipped_a_ringing_phone |= any(skip.reason is Outcome.STILL_RINGS for skip in planned.skips)
        return planned

    async def _push(self, push: Push) -> list[Delivered]:
        """Send a push to one phone; returns the result for each of its tokens that was tried."""
        results = await self._push_to_token(push)
        if self._news:
            unsure = any(result.unknown or result.push.device.key in self._fence.lost for result in results)
            now = self._tools.clock.now()
            if dead_end := self._news.phone_done(push.device.user_id, results, now, unsure=unsure):
                self._records.add(Record("", announcement=dead_end))
        return results

    async def _push_to_token(self, push: Push) -> list[Delivered]:
        """Send a push. If its token cannot be used, send it to another token of the same phone."""
        tools = self._tools
        before = self._before_attempt if self._kind is PushKind.RING else lambda _: self._begun
        result = await deliver(push, tools.channels, self._fence, tools.policy, before, tools.clock)
        self._record(result)
        self._note_result(result)
        if push.left_out:
            self._records.add(Record(_push_line(PushReduced, push, ", ".join(push.left_out), tools.clock.now())))
        fate = await tools.token_pruner.update_registry(self._round.tenant, push.device, result)
        if fate is not None:
            await self._fence.note([_push_line(TokenChecked, push, fate, tools.clock.now())])
        results = [result]
        if push.instead and result.outcome in UNUSABLE_TOKEN:
            results += await self._push_to_token(push.instead)
        return results

    def _record(self, result: Delivered) -> None:
        """Record the result of a push. If a further ring was not due any more, the trail has the reason already."""
        if self._kind in FURTHER_RINGS and result.last is None and MEANING[result.outcome].tone is Tone.QUIET:
            return
        accepted = self._news.attempted(result, self._tools.clock.now()) if self._news else None
        self._records.add(result.record._replace(announcement=accepted) if accepted else result.record)

    async def _record_skips(self, skips: Sequence[Skip]) -> None:
        """Write skips to the trail, and remember rings that quiet hours held back: a second call may get through."""
        now = self._tools.clock.now()
        await asyncio.gather(*(self._fence.write(self._skip_record(skip, now)) for skip in skips))
        for skip in skips:
            if self._kind is PushKind.RING and skip.reason is Outcome.QUIET_HOURS:
                round_ = self._round
                command = registry.hold_back(round_.tenant, skip.user_id, round_.caller_id, round_.started_at)
                await until_redis_answers(partial(self._tools.store.script, *command))
        if self._kind is PushKind.MISSED and self._tools.missed_kept_s:
            await self._leave_uncounted([skip.user_id for skip in skips if skip.reason is Outcome.CALLER_BLOCKED])

    async def _leave_uncounted(self, user_ids: Sequence[str]) -> None:
        """Count this missed call as seen for these users: they have blocked the caller."""
        round_ = self._round
        seen = (note_seen(round_.tenant, user_id, None, [round_.cid]) for user_id in user_ids)
        await until_redis_answers(partial(self._tools.store.together, *chain.from_iterable(seen)))

    def _skip_record(self, skip: Skip, now: Micros) -> Record:
        dead_end = self._news.skipped(skip, now) if self._news else None
        return Record(_skip_line(self._kind, self._round, skip, now), announcement=dead_end)

    def _log(self, skips: Iterable[Skip], results: Iterable[Delivered]) -> None:
        """Count the outcome of each push and skip, and log the counts in one line."""
        outcomes = [(skip.device, skip.reason) for skip in skips]
        outcomes += [(result.push.device, result.outcome) for result in results]
        counts: dict[str, int] = {}
        for device, outcome in outcomes:
            metrics.finished(self._kind, device, outcome)
            counts[outcome] = counts.get(outcome, 0) + 1
        log.info("pushed", kind=self._kind, cid=self._round.cid, **counts)


def _picked_up_line(kind: PushKind, round_: QueuedRound, worker: str, now: Micros) -> str:
    """Return the trail line about the start of this job; empty for a notice."""
    if kind in NO_LINE_OF_START:
        return ""
    return encode(JobPickedUp(at=now, round=round_.started_at, job=kind, worker=worker[-WORKER_DIGITS:]))


def _push_line(milestone: type[DeviceMilestone], push: Push, detail: str, now: Micros) -> str:
    return device_line(milestone, push, push.device, detail, now)


def device_line(milestone: type[DeviceMilestone], push: Push, device: Device, detail: str, now: Micros) -> str:
    """Return a trail line about a device of a push."""
    return encode(
        milestone(
            at=now,
            round=Micros(push.round),
            kind=push.kind,
            user=device.user_id,
            device=device.key,
            label=device.label,
            provider=device.provider,
            detail=detail,
        )
    )


def _skip_line(kind: PushKind, round_: QueuedRound, skip: Skip, now: Micros) -> str:
    device = skip.device
    return encode(
        PushSkipped(
            at=now,
            round=round_.started_at,
            kind=kind,
            user=skip.user_id,
            outcome=skip.reason,
            device=device.key if device else "",
            label=device.label if device else "",
            reason=skip.facts,
        )
    )
