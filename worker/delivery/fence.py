"""Claims each device right before a push is sent to it, and records the result.

All claims, and all records, of one turn of the event loop go to Redis in one script call. Claims with different
deadlines, and on a cluster those of tokens that different nodes have, go in calls of their own. While Redis is away, a
record waits and is repeated, and a claim is refused: no push is sent without a claim, and no result is lost.
"""

import asyncio
import secrets
import time
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import NamedTuple

from redis.exceptions import RedisError

from bellhop.audience import Audience
from bellhop.clock import Seconds, micros, seconds
from bellhop.domain.announcement import Announcement
from bellhop.domain.call import Standing
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.domain.round import Round
from bellhop.store.call_scripts import claim_devices, read_owners, record_attempt, record_lost_attempts
from bellhop.store.keys import call_key, owner_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import is_away, until_redis_answers
from bellhop.store.scripts import Command, Scripts
from bellhop.telemetry import metrics
from worker.delivery.batch import Batch
from worker.delivery.fair_queue import Group
from worker.delivery.fair_turns import FairTurns
from worker.delivery.sent_pushes import RoundPushes, SentPushes, note_restored
from worker.lost_attempts import OpenClaim, count_lost, lost_attempt

MOST_PER_CALL = 250
"""Devices or lines of one script call. With more, the call would delay other commands of Redis, and in the end have
more arguments than Lua can unpack."""
REFUSALS = {
    "go": None,
    "too_late": Outcome.TOO_LATE,
    "duplicate": Outcome.DUPLICATE,
    "held": Outcome.HELD,
    "no_lease": Outcome.HELD,
    "reported": Outcome.REPORTED,
    "rung_again": Outcome.RUNG_AGAIN,
    "still_rings": Outcome.STILL_RINGS,
    Standing.ANSWERED: Outcome.ANSWERED,
    Standing.DECLINED: Outcome.DECLINED,
    Standing.BUSY: Outcome.BUSY,
    Standing.TIMED_OUT: Outcome.TIMED_OUT,
    Standing.MISSED: Outcome.MISSED,
    Standing.MISSED_QUIETLY: Outcome.MISSED,
    Standing.CANCELLED: Outcome.CANCELLED,
    Standing.ENDED: Outcome.ENDED,
    Standing.NO_ANSWER: Outcome.NO_ANSWER,
    Standing.REMOVED: Outcome.REMOVED,
}
"""What each answer of claim_devices.lua means for a push. None: it may be sent."""
LESS_THAN_SIGNED_OUT = (None, Outcome.RUNG_AGAIN, Outcome.HELD)
"""If the token has left its user, SIGNED_OUT replaces these answers of the script. The other answers stay."""
ORPHANED = "orphaned "
"""The start of the answer for a device whose claim was left by a worker that died. The claim follows."""


class Record(NamedTuple):
    """What is to be recorded of a push."""

    line: str
    """For the trail; empty for none."""
    device: str = ""
    """The key of the device whose claim ends; empty if there was no claim."""
    sent: bool = False
    """Whether the push was sent. Otherwise the device is free for another attempt."""
    announcement: Announcement | None = None
    """What is announced right after it."""


class Admission(NamedTuple):
    """Whether one attempt may be made."""

    refusal: Outcome | None
    """Why the push may not be sent; None if it may."""
    asked_at: Seconds
    """When the claim was requested, in seconds of the monotonic clock."""
    left_s: Seconds
    """How long after that the push may be sent, by Redis's clock."""

    @property
    def ends_s(self) -> Seconds:
        """When that time is over, in seconds of the monotonic clock."""
        return Seconds(self.asked_at + self.left_s)


class Fence:
    """The fence for the pushes of one kind in one round, as one run of one job uses it."""

    def __init__(
        self,
        store: Scripts,
        worker: str,
        kind: PushKind,
        round_: Round,
        first_line: str = "",
        sent: SentPushes | None = None,
        clock: RedisClock | None = None,
        turns: FairTurns | None = None,
        audience: Audience | None = None,
        *,
        tickets: bool = False,
        claim: str = "",
    ) -> None:
        """`first_line` goes on the trail together with the next line: it needs no round trip of its own.

        `sent`: what this worker sent lately; by default nothing. `clock`: for the times on the trail, and for
        how far Redis's clock is ahead of Stream's. `turns`: shared by all fences of the worker.
        `audience`: who hears of announcements; None if nobody does. `tickets`: whether the pushes carry tickets.
        `claim`: the name of the claims, if it is not the kind of push: each repetition has claims of its own.
        """
        self._store, self._worker, self._run = store, worker, secrets.token_hex(6)
        self._sent = SentPushes(worker) if sent is None else sent
        self._clock, self._turns = clock or RedisClock(), turns or FairTurns()
        self._audience = audience
        self._pushes = RoundPushes.of(round_, claim or kind)
        self._kind, self._round, self._tickets = kind, round_, tickets
        self._server = store.server_of_key(call_key(round_.tenant, round_.cid))
        self._first_lines = [first_line] if first_line else []
        self._claimed_for: dict[str, str] = {}
        """By device key, the user whose push is being sent to the device."""
        self.lost: set[str] = set()
        """Keys of devices to which a worker that died may have sent the push."""
        self._admissions = Batch(self._claim, MOST_PER_CALL, group_of=self._server_and_deadline)
        self._records = Batch(self._write, MOST_PER_CALL, shielded=True)

    async def admit(self, push: Push, attempt_s: Seconds) -> Admission:
        """Claim the device for an attempt of at most `attempt_s`, and wait for a turn to send the push.

        If Redis does not answer, the refusal is REDIS_AWAY: the caller holds places that other pushes need, so it must
        not wait here.
        """
        key, user_id = push.device.key, push.device.user_id
        if self._claimed_for.get(key, user_id) != user_id:
            # A token moves from one user to another while this round rings both. A claim names the run, not the user:
            # Redis would let this run claim the device a second time, and the phone would ring twice. So the second
            # push waits here until the first has ended.
            return Admission(Outcome.HELD, Seconds(time.monotonic()), Seconds(0.0))
        try:
            admission = await self._admissions((push, attempt_s))
            if admission.refusal is None:
                await self._turns.wait(self._kind, Group(self._round.tenant, self._round.started_at))
        except asyncio.CancelledError:
            # The claim may be in Redis. The next run would wait for its end, and take it for an attempt.
            await asyncio.shield(self.write(Record("", key)))
            raise
        if admission.refusal is None:
            self._claimed_for[key] = user_id
        return admission

    async def write(self, record: Record) -> None:
        """End a claim, if there is one, and put a line, if there is one, on the trail."""
        await self._records(record)
        self._claimed_for.pop(record.device, None)

    async def note(self, lines: Sequence[str]) -> None:
        """Put lines on the trail that end no claim."""
        if lines:
            await asyncio.gather(*(self._records(Record(line)) for line in lines))

    def commands(self, records: Sequence[Record]) -> list[Command]:
        """Return the commands that write these records, and remember the pushes that were sent.

        The records and their announcements are written together. So none is lost if this worker dies afterwards.
        """
        commands = [self.command(records)] if any(record.line or record.device for record in records) else []
        told = [record.announcement for record in records if record.announcement]
        if told and self._audience and (command := self._audience.tell(self._round, told)):
            commands.append(command)
        return commands

    def command(self, records: Sequence[Record]) -> Command:
        """Return the command that writes these records without what they announce."""
        if self._kind is PushKind.RING_OVER:  # the trail has the standing, which is the reason for the push
            records = [record._replace(line="") for record in records]
        for record in records:
            if record.sent and record.line:
                self._sent.remember(self._pushes, record.device, record.line)
        lines = [record.line for record in records if record.line]
        if lines:
            lines, self._first_lines = [*self._first_lines, *lines], []
        devices = [(record.device, record.sent) for record in records if record.device]
        claim = self._pushes.claim
        return record_attempt(self._round, lines, claim=claim, worker=self._worker, run=self._run, devices=devices)

    def _server_and_deadline(self, attempt: tuple[Push, Seconds]) -> Hashable:
        """Return what all claims of one script call share: none waits for a server that it does not need, and none is
        refused because another push is too late."""
        push, _ = attempt
        return self._store.server_of_key(owner_key(self._round.tenant, push.device.key)), push.deadline

    async def _claim(self, attempts: list[tuple[Push, Seconds]]) -> list[Admission]:
        """Claim devices, and give back those whose tokens have left their users."""
        owners, admissions = await self._claim_all(attempts)
        moved = {
            number
            for number, ((push, _), owner, admission) in enumerate(zip(attempts, owners, admissions, strict=True))
            if owner != push.device.user_id.encode() and admission.refusal in LESS_THAN_SIGNED_OUT
        }
        claimed = [Record("", attempts[number][0].device.key) for number in moved if admissions[number].refusal is None]
        if claimed:
            await until_redis_answers(lambda: self._store.script(*self.command(claimed)))
            # While a device was claimed for its old user, the script refused it to its new user, who may be among the
            # others. So the others are claimed again.
            left = [number for number in range(len(attempts)) if number not in moved]
            again = await self._claim([attempts[number] for number in left]) if left else []
            for number, admission in zip(left, again, strict=True):
                admissions[number] = admission
        for number in moved:
            admissions[number] = admissions[number]._replace(refusal=Outcome.SIGNED_OUT)
        return admissions

    async def _claim_all(self, attempts: list[tuple[Push, Seconds]]) -> tuple[list[bytes | None], list[Admission]]:
        """Return the present user of each token, and the answers of the script. Both are read at the same time."""
        owners_now = read_owners(self._round.tenant, (push.device.key for push, _ in attempts))
        began = time.perf_counter()
        await self._restore(attempts)
        while True:
            # An owner may be read a moment before or after the claim. A token that moves between the two rings its
            # former user once, as it does if it moves after both.
            command = self._claim_command(attempts)
            asked_at = Seconds(time.monotonic())
            try:
                owners, answer = await self._store.together(owners_now, command, in_order=False)
            except RedisError as error:
                if not is_away(error):
                    raise
                return [None] * len(attempts), await self._put_off(attempts)
            left_us, redis_ahead_us, *codes = answer
            if redis_ahead_us:
                self._clock.note_ahead_of_stream(self._round.tenant, self._server, int(redis_ahead_us))
            answers = [code.decode() for code in codes]
            if not await self._record_lost(attempts, answers):
                break
        metrics.FENCE.observe(Seconds(time.perf_counter() - began))
        left_s = seconds(int(left_us))
        return owners, [Admission(REFUSALS[answer], asked_at, left_s) for answer in answers]

    async def _restore(self, attempts: Sequence[tuple[Push, Seconds]]) -> None:
        """Give Redis back what it has lost of the pushes that this worker has sent to these devices."""
        if restore := self._sent.restore(self._pushes, (push.device.key for push, _ in attempts)):
            note_restored(await until_redis_answers(lambda: self._store.script(*restore)))

    def _claim_command(self, attempts: Sequence[tuple[Push, Seconds]]) -> Command:
        return claim_devices(
            self._round,
            self._pushes.claim,
            [(push.device.user_id, push.device.key) for push, _ in attempts],
            deadline_us=attempts[0][0].deadline,
            redis_ahead_us=self._clock.ahead_of_stream_us(self._round.tenant, self._server),
            worker=self._worker,
            run=self._run,
            claim_us=micros(Seconds(max(attempt_s for _, attempt_s in attempts) + 1)),
            tickets=self._tickets,
            rung=[push.rung for push, _ in attempts] if self._kind is PushKind.SECOND_RING else (),
            alerts=[push.device.key for push, _ in attempts if push.is_ringing_alert],
        )

    async def _put_off(self, attempts: Sequence[tuple[Push, Seconds]]) -> list[Admission]:
        """Give the devices back, which may be claimed: on a cluster, perhaps only the server of the owners is away."""
        with suppress(RedisError):
            await self._store.script(*self.command([Record("", push.device.key) for push, _ in attempts]))
        return [Admission(Outcome.REDIS_AWAY, Seconds(time.monotonic()), Seconds(0.0))] * len(attempts)

    async def _record_lost(self, attempts: list[tuple[Push, Seconds]], answers: list[str]) -> bool:
        """Put the attempts of dead workers on the trail. If there were any, the fence must be asked again."""
        orphaned = [
            (push.device, answer.removeprefix(ORPHANED))
            for (push, _), answer in zip(attempts, answers, strict=True)
            if answer.startswith(ORPHANED)
        ]
        if not orphaned:
            return False
        self.lost.update(device.key for device, _ in orphaned)
        started_at, now = self._round.started_at, self._clock.now()
        lost = [
            lost_attempt(OpenClaim(self._pushes.claim, device.key, claim), started_at, device.user_id, device, now)
            for device, claim in orphaned
        ]
        command = record_lost_attempts(self._round, lost)
        for number in await until_redis_answers(lambda: self._store.script(*command)):
            count_lost(self._kind, orphaned[number - 1][0])
        return True

    async def _write(self, records: list[Record]) -> list[None]:
        commands = self.commands(records)
        if len(commands) == 1:
            await until_redis_answers(lambda: self._store.script(*commands[0]))
        else:
            await until_redis_answers(lambda: self._store.together(*commands))
        return [None] * len(records)
