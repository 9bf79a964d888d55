"""The call's promises, checked on a random call: its events in any order, repeated, delayed and lost; pushes attempted
by several workers that may die; a clock that the test turns. All scripts are the real ones on a real Redis; only the
line that asks Redis for the time reads the test's clock instead.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bellhop.clock import Seconds
from bellhop.domain import forgetting
from bellhop.domain.call import Standing
from bellhop.domain.call_snapshot import CallSnapshot
from bellhop.domain.outcomes import Outcome
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.plan import plan
from bellhop.domain.push import RINGING, Push, PushKind
from bellhop.domain.rejections import BY_PHONE, REASONS
from bellhop.domain.round import Round
from bellhop.domain.standing import NEAR_US
from bellhop.domain.ticket import Ticket
from bellhop.queue.job_payloads import QueuedRound
from bellhop.queue.names import NOTICE_JOB
from bellhop.sandbox.redis_server import RedisServer
from bellhop.store import scripts
from bellhop.store.blocking_client import blocking, partitions_of, servers_of, together
from bellhop.store.call_scripts import record_receipt
from bellhop.store.homes import Partition, home_of, partition_with
from bellhop.store.keys import AGENDA, call_key, lease_key, owner_key, round_key, rung_key
from tests.factories import a_device, an_event_user
from tests.redis_servers import empty
from tests.trails import trail_of
from webhook.intake.apply import Verdict, apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.events import (
    Accepted,
    Ended,
    Event,
    Ignored,
    Left,
    Missed,
    Rejected,
    Removed,
    Ring,
)
from worker.delivery.fence import Fence, Record
from worker.settle import queue_due_calls, settle_call

CID, TENANT = "default:lobby:1", "default"
CLOCK = "bellhop:test-clock"
"""The test's clock, which each partition has."""
CLOCK_OF_SCRIPT = "'bellhop:' .. (KEYS[1]:match('{[^}]+}:') or '') .. 'test-clock'"
S = 1_000_000
GRACE_S = 5
CREATOR, USERS, SESSIONS = "sara", ("sara", "ben", "jane:1", "ana"), ("s-1", "s-2")
DEVICES = {user: [a_device(user, token=f"{user}-{number}") for number in (1, 2)] for user in USERS}
AGES_S = st.sampled_from([0, 0, 1, 10, 40, 600, -20])
"""How long ago an event was stamped when it first arrives; a little in the future with clocks that differ."""


class Told(NamedTuple):
    """What the call inside an event says of others: each with how long ago (s), or nothing."""

    accepted: Mapping[str, int]
    rejected: Mapping[str, int]
    ended_s: int | None


NOTHING = Told({}, {}, None)
BY_USER = st.dictionaries(st.sampled_from(USERS), AGES_S, max_size=2)
TOLD = st.one_of(st.just(NOTHING), st.just(NOTHING), st.builds(Told, BY_USER, BY_USER, st.one_of(st.none(), AGES_S)))


class TestStore:
    """The real scripts, with the test's clock."""

    __test__ = False

    def __init__(self, client: redis.Redis, own: Partition) -> None:
        """`own` is the partition of the call."""
        self.client, self.own, self.partitions = client, own, partitions_of(client)
        self._scripts: dict[str, str] = {}

    def server_of_key(self, key: str) -> None:
        """There is one."""

    def loaded(self, name: str) -> str:
        if name not in self._scripts:
            source = scripts.source(name).replace(
                "redis.call('TIME')", f"redis.call('LRANGE', {CLOCK_OF_SCRIPT}, 0, 1)"
            )
            (self._scripts[name],) = {server.script_load(source) for server in servers_of(self.client)}
        return self._scripts[name]

    def run(self, command: scripts.Command) -> Any:
        keys = [self.own.key(key) if home_of(key).kind == "partition" else key for key in command.keys]
        return self.client.evalsha(self.loaded(command.script), len(keys), *keys, *command.args)

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return self.run(scripts.Command(name, keys, args))

    async def call(self, *args: Any) -> Any:
        return self.client.execute_command(*args)

    async def together(self, *commands: tuple[Any, ...], in_order: bool = True) -> list[Any]:
        return [self.run(each) if isinstance(each, scripts.Command) else self._read(each) for each in commands]

    def _read(self, command: tuple[Any, ...]) -> Any:
        clock = ("LRANGE", self.own.key(CLOCK), 0, 1)
        answer = self.client.execute_command(*(clock if command == ("TIME",) else command))
        return _flat(answer)


def _flat(answer: Any) -> Any:
    """As Redis answers: redis-py makes a dict of a hash."""
    return list(chain.from_iterable(answer.items())) if isinstance(answer, dict) else answer


@dataclass(frozen=True)
class Claim:
    gate: Fence
    push: Push
    worker: str
    until: int


class CallModel(RuleBasedStateMachine):
    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        empty(server)
        self.redis = blocking(server.url, timeout_s=Seconds(5))
        self.own = partition_with(call_key(TENANT, CID), partitions_of(self.redis))
        self.store = TestStore(self.redis, self.own)
        self.runner = asyncio.Runner()
        self.now = 1_800_000_000 * S
        self.pass_time(0)
        self.stamps = 0
        self.events: list[Event] = []
        self.delivered: list[tuple[Event, int]] = []
        """What arrived, and when."""
        self.webhooks: set[int] = set()
        self.rounds: dict[int, Round] = {}
        """Every round that was rung, by its start."""
        self.claims: dict[tuple[PushKind, int, str], Claim] = {}
        self.reported: set[tuple[int, str]] = set()
        """The devices whose phones sent a receipt, each with the start of its round."""
        self.sent: Counter[tuple[PushKind, int, str]] = Counter()
        self.notices: list[Round] = []
        self.workers = ["w-1", "w-2"]
        for worker in self.workers:
            self.redis.set(self.own.key(lease_key(worker)), 1)
        for device in chain.from_iterable(DEVICES.values()):
            self.redis.set(owner_key(TENANT, device.key), device.user_id)

    # What happens to the call

    def happen(self, event: Event, lost: bool) -> None:
        self.events.append(event)
        if not lost:
            self.deliver(len(self.events) - 1)

    def stamp(self, age_s: int) -> int:
        self.stamps += 1  # no two are the same, as in nanoseconds
        return self.now - age_s * S + self.stamps

    def envelope(self, kind: str, session: str, age_s: int, told: Told) -> dict[str, Any]:
        snapshot = CallSnapshot(
            accepted={user: self.stamp(age) for user, age in told.accepted.items()},
            rejected={user: self.stamp(age) for user, age in told.rejected.items()},
            ended_at=None if told.ended_s is None else self.stamp(told.ended_s),
        )
        return {"type": kind, "cid": CID, "session_id": session, "at": self.stamp(age_s), "snapshot": snapshot}

    @rule(
        caller=st.sampled_from(USERS),
        members=st.sets(st.sampled_from(USERS), min_size=1),
        session=st.sampled_from(SESSIONS),
        ring_s=st.sampled_from([5, 30, 180]),
        age_s=AGES_S,
        told=TOLD,
        lost=st.booleans(),
    )
    def ring(
        self, caller: str, members: set[str], session: str, ring_s: int, age_s: int, told: Told, lost: bool
    ) -> None:
        self.happen(
            Ring(
                **self.envelope("call.ring", session, age_s, told),
                caller=an_event_user(caller),
                members=tuple(an_event_user(user) for user in sorted(members - {caller})),
                video=True,
                ring_ms=ring_s * 1000,
                call_name="",
                created_by_id=CREATOR,
            ),
            lost,
        )

    @rule(
        user=st.sampled_from(USERS),
        participant=st.sampled_from(["", "p-1", "p-2"]),
        session=st.sampled_from(SESSIONS),
        age_s=AGES_S,
        told=TOLD,
        lost=st.booleans(),
    )
    def accept(self, user: str, participant: str, session: str, age_s: int, told: Told, lost: bool) -> None:
        envelope = self.envelope("call.accepted", session, age_s, told)
        self.happen(Accepted(**envelope, user_id=user, participant_id=participant), lost)

    @rule(
        user=st.sampled_from([CREATOR, CREATOR, *USERS]),
        participant=st.sampled_from(["", "p-1", "p-2"]),
        session=st.sampled_from(SESSIONS),
        age_s=AGES_S,
        lost=st.booleans(),
    )
    def leave(self, user: str, participant: str, session: str, age_s: int, lost: bool) -> None:
        envelope = self.envelope("call.session_participant_left", session, age_s, NOTHING)
        self.happen(Left(**envelope, user_id=user, participant_id=participant), lost)

    @rule(
        users=st.sets(st.sampled_from(USERS), min_size=1),
        session=st.sampled_from(SESSIONS),
        age_s=AGES_S,
        told=TOLD,
        lost=st.booleans(),
    )
    def remove(self, users: set[str], session: str, age_s: int, told: Told, lost: bool) -> None:
        envelope = self.envelope("call.member_removed", session, age_s, told)
        self.happen(Removed(**envelope, user_ids=tuple(sorted(users))), lost)

    @rule(
        user=st.sampled_from(USERS),
        session=st.sampled_from(SESSIONS),
        reason=st.sampled_from(["decline", "busy", "timeout", "", "no time", "report-call-failed", *sorted(BY_PHONE)]),
        age_s=AGES_S,
        told=TOLD,
        lost=st.booleans(),
    )
    def reject(self, user: str, session: str, reason: str, age_s: int, told: Told, lost: bool) -> None:
        envelope = self.envelope("call.rejected", session, age_s, told)
        self.happen(Rejected(**envelope, user_id=user, reason=reason), lost)

    @rule(
        members=st.sets(st.sampled_from(USERS[1:]), min_size=1),
        session=st.sampled_from(SESSIONS),
        notify=st.booleans(),
        age_s=AGES_S,
        told=TOLD,
        lost=st.booleans(),
    )
    def miss(self, members: set[str], session: str, notify: bool, age_s: int, told: Told, lost: bool) -> None:
        people = tuple(an_event_user(user) for user in sorted(members))
        envelope = self.envelope("call.missed", session, age_s, told)
        self.happen(
            Missed(**envelope, caller=an_event_user(CREATOR), members=people, notify=notify, call_name=""), lost
        )

    @rule(session=st.sampled_from(["", *SESSIONS]), age_s=AGES_S, told=TOLD, lost=st.booleans())
    def end(self, session: str, age_s: int, told: Told, lost: bool) -> None:
        self.happen(Ended(**self.envelope("call.ended", session, age_s, told), only_session=session), lost)

    @rule(session=st.sampled_from(SESSIONS), told=TOLD, lost=st.booleans())
    def something_else(self, session: str, told: Told, lost: bool) -> None:
        self.happen(Ignored(**self.envelope("call.updated", session, 0, told)), lost)

    # How it reaches us

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def arrive_late_or_again(self, data: st.DataObject) -> None:
        self.deliver(data.draw(st.integers(0, len(self.events) - 1)))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def arrive_again_as_another_webhook(self, data: st.DataObject) -> None:
        event, first = data.draw(st.sampled_from(self.delivered))
        before = self.marks()
        self.apply(event, f"again-{len(self.delivered)}", first)
        assert self.marks() == before

    def deliver(self, number: int) -> None:
        event, version = self.events[number], self.redis.hget(call_key(TENANT, CID), "version")
        verdict = self.apply(event, str(number), self.now)
        if number in self.webhooks:
            assert verdict in (Verdict.ALREADY, Verdict.IGNORED)
            assert self.redis.hget(call_key(TENANT, CID), "version") == version
        elif verdict is Verdict.TAKEN:
            self.webhooks.add(number)
            self.delivered.append((event, self.now))
            found = effects(event, self.now, EffectRules(TENANT, 30, GRACE_S)).round
            if found is not None:
                self.rounds.setdefault(found.started_at, found)

    def apply(self, event: Event, webhook_id: str, now: int) -> Verdict:
        found = effects(event, now, EffectRules(TENANT, 30, GRACE_S))
        return apply(self.store.run, TENANT, webhook_id, event, found, self.now)

    # What the workers do

    @rule(seconds=st.sampled_from([0.5, 3, 20, 60]))
    def pass_time(self, seconds: float) -> None:
        self.set_clock(self.now + round(seconds * S))

    @precondition(lambda self: self.rounds)
    @rule(data=st.data(), just_before=st.booleans())
    def attempt_at_the_deadline(self, data: st.DataObject, just_before: bool) -> None:
        round_ = data.draw(st.sampled_from(list(self.rounds.values())))
        self.set_clock(max(self.now, round_.deadline - just_before))
        self.attempt_one(data, round_, self.workers[0])

    def set_clock(self, now: int) -> None:
        self.now = now
        for partition in partitions_of(self.redis):
            clock = partition.key(CLOCK)
            together(self.redis, ("DEL", clock), ("RPUSH", clock, self.now // S, self.now % S))

    @precondition(lambda self: self.rounds)
    @rule(data=st.data(), worker=st.integers(0, 1))
    def attempt(self, data: st.DataObject, worker: int) -> None:
        self.attempt_one(data, data.draw(st.sampled_from(list(self.rounds.values()))), self.workers[worker])

    def attempt_one(self, data: st.DataObject, round_: Round, worker: str) -> None:
        kind = data.draw(st.sampled_from(sorted(RINGING)))
        pushes = plan(kind, round_, DEVICES, self.now).pushes
        if pushes:
            self.admit(data.draw(st.sampled_from(pushes)), round_, worker)

    @precondition(lambda self: self.rounds)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """A phone sends its receipt."""
        round_ = data.draw(st.sampled_from(list(self.rounds.values())))
        device = data.draw(st.sampled_from(list(chain.from_iterable(DEVICES.values()))))
        ticket = Ticket(TENANT, CID, round_.started_at, device.provider, device.key)
        verdict, _ = self.store.run(record_receipt(ticket, PhoneEvent.RANG, "[2]", self.now))
        if verdict not in (b"over", b"expired"):
            self.reported.add((round_.started_at, device.key))

    def admit(self, push: Push, round_: Round, worker: str) -> None:
        second = push.kind is PushKind.SECOND_RING
        if second:
            push = replace(push, rung=push.device.key)
        gate = Fence(self.store, worker, push.kind, round_)
        refusal = self.runner.run(gate.admit(push, 3)).refusal
        rung_again = self.rings_again(push.device.user_id, round_)
        key = (push.kind, round_.started_at, push.device.key)
        reported = second and key[1:] in self.reported
        claim = self.claims.get(key)
        held = claim is not None and claim.until > self.now and claim.worker in self.workers
        over = self.is_over(push.device.user_id, round_)
        if self.sent[key]:
            assert refusal is not None
        if refusal is None:
            assert not over
            assert not held
            assert not rung_again
            assert not reported
            self.claims[key] = Claim(gate, push, worker, self.now + 4 * S)
        elif refusal is Outcome.HELD:
            assert held
        elif refusal is Outcome.DUPLICATE:
            assert self.sent[key]
        elif refusal is Outcome.REPORTED:
            assert reported
        elif refusal is Outcome.RUNG_AGAIN:
            assert rung_again
        else:
            assert over, refusal

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), sent=st.booleans())
    def finish(self, data: st.DataObject, sent: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.claims)))
        claim = self.claims.pop(key)
        self.runner.run(claim.gate.write(Record("", claim.push.device.key, sent)))
        self.sent[key] += sent

    @rule(number=st.integers(0, 1))
    def die(self, number: int) -> None:
        dead = self.workers[number]
        self.redis.delete(self.own.key(lease_key(dead)))
        self.workers[number] = f"{dead}x"
        self.redis.set(self.own.key(lease_key(self.workers[number])), 1)
        self.claims = {key: claim for key, claim in self.claims.items() if claim.worker != dead}

    @rule()
    def settle(self) -> None:
        self.runner.run(settle_call(self.store, TENANT, CID, GRACE_S * S))
        self.take_notices()

    @rule()
    def watch(self) -> None:
        self.runner.run(queue_due_calls(self.store))
        self.take_notices()

    def take_notices(self) -> None:
        """Run what is on the queue of notices."""
        while job_id := self.redis.lpop(self.own.key("rq:queue:bellhop-notices")):
            name, _, (payload,), _ = json.loads(self.redis.hget(self.own.key(f"rq:job:{job_id.decode()}"), "data"))
            if name == NOTICE_JOB:
                self.take_notice(QueuedRound.model_validate(payload))
            else:
                self.runner.run(settle_call(self.store, TENANT, CID, GRACE_S * S))

    def take_notice(self, notice: Round) -> None:
        (user,) = [recipient.id for recipient in notice.recipients]
        assert (notice.started_at, user) not in [(one.started_at, one.recipients[0].id) for one in self.notices]
        for earlier in self.notices:
            if earlier.ringless and (earlier.session_id, earlier.recipients[0].id) == (notice.session_id, user):
                assert notice.started_at > earlier.started_at, "this call.missed has had its notice"
        assert not self.has_answered(user, notice), "who answered is told of no missed call"
        if not notice.ringless:
            assert self.is_over(user, notice)
        self.notices.append(notice)
        gate = Fence(self.store, self.workers[0], PushKind.MISSED, notice)
        rung_again = self.rings_again(user, notice)
        for push in plan(PushKind.MISSED, notice, DEVICES, self.now).pushes:
            assert (self.runner.run(gate.admit(push, 3)).refusal is None) is not rung_again

    # What must be true

    def rings_again(self, user: str, round_: Round) -> bool:
        """Whether a later round rings this user."""
        later = (one for start, one in self.rounds.items() if start > round_.started_at)
        return any(user in [recipient.id for recipient in one.recipients] for one in later)

    def is_over(self, user: str, round_: Round) -> bool:
        """Whether this user's phones may not ring, worked out from the events and not from stamps."""
        recipients = {one.id for one in round_.recipients}
        callers = {round_.caller_id, CREATOR} - recipients
        start = round_.started_at
        if self.now >= round_.deadline or self.has_answered(user, round_):
            return True
        if self.has_rejected(user, round_) or self.has_left_alone(callers, round_):
            return True
        for event, _ in self.delivered:
            snapshot = event.snapshot
            here = not self.is_of_another_ring(event, round_)
            if here and any(at >= start and who in callers for who, at in snapshot.rejected.items()):
                return True
            if snapshot.ended_at is not None and snapshot.ended_at >= start:
                return True
            if event.at is None or event.at < start:
                continue
            match event:
                case Rejected(user_id=who) if here and who in callers:
                    return True
                case Removed(user_ids=removed) if user in removed:
                    return True
                case Missed(session_id=session, members=members) if session == round_.session_id:
                    missed = user in [member.id for member in members]
                    if missed and (event.at >= round_.deadline or not self.was_rung_before(user, round_)):
                        return True
                case Ended(only_session=session) if session in ("", round_.session_id):
                    return True
        return False

    def has_rejected(self, user: str, round_: Round) -> bool:
        """Whether the user, and not a phone by itself, has rejected this ring and not an earlier one."""
        said = [event for event, _ in self.delivered if isinstance(event, Rejected) and event.user_id == user]
        by_phone = set()
        for event in said:
            if event.reason in BY_PHONE:
                told = event.snapshot.rejected.get(user, 0)
                by_phone |= {event.at} | ({told} if abs(told - event.at) <= S else set())
        moments = [(event, event.at) for event in said if event.reason not in BY_PHONE]
        moments += [
            (event, event.snapshot.rejected[user]) for event, _ in self.delivered if user in event.snapshot.rejected
        ]
        earliest = self.rejections_count_from(user, round_)
        never_late = [moment for event, moment in moments if isinstance(event, Rejected) and event in said]
        latest = round_.deadline + NEAR_US
        return any(
            earliest <= at
            and at not in by_phone
            and not self.is_of_another_ring(event, round_)
            and (at <= latest or (event in said and at in never_late and event.reason in REASONS))
            for event, at in moments
        )

    def is_of_another_ring(self, event: Event, round_: Round) -> bool:
        """Whether the rejections in the event are about the ring of another session."""
        begun = {
            value.decode() for name, value in self.redis.hgetall(call_key(TENANT, CID)).items() if name[:2] == b"r:"
        }
        traces = self.redis.zrange(rung_key(TENANT, CID), 0, -1)
        begun |= {name[2:].decode() for name in traces if name.startswith(b"s:")}
        return event.session_id != round_.session_id and event.session_id in begun

    def has_left_alone(self, callers: set[str], round_: Round) -> bool:
        """Whether the callers have left a call that nobody is in."""
        left: dict[str, dict[str, int]] = {}
        joined: dict[str, set[str]] = {}
        answered: dict[str, int] = {}
        for event, _ in self.delivered:
            for who, at in event.snapshot.accepted.items():
                answered[who] = max(at, answered.get(who, 0))
            match event:
                case Left(user_id=who, participant_id=participant, at=at):
                    of_user = left.setdefault(who, {})
                    of_user[participant] = max(at, of_user.get(participant, 0))
                case Accepted(user_id=who, participant_id=participant, at=at):
                    answered[who] = max(at, answered.get(who, 0))
                    joined.setdefault(who, set()).update({participant} - {""})
        last = max((at for who in callers for at in left.get(who, {}).values()), default=0)
        return last >= round_.started_at and not any(
            max(left.get(who, {}).values(), default=0) > last
            or answered.get(who, 0) > max(left.get(who, {}).values(), default=0)
            or joined.get(who, set()) - left.get(who, {}).keys()
            for who in {*answered, *left}
        )

    def rejections_count_from(self, user: str, round_: Round) -> int:
        """The first moment at which a rejection by the user is about this ring, and not about an earlier one."""
        start, rung_at = round_.started_at, self.rung_before_at(user, round_)
        if rung_at is None:
            return start
        said = [
            (event, event.at) for event, _ in self.delivered if isinstance(event, Rejected) and event.user_id == user
        ]
        said += [(event, event.snapshot.rejected.get(user, 0)) for event, _ in self.delivered]
        ends = [at for event, at in said if rung_at <= at < start and not self.is_of_another_ring(event, round_)]
        return max(start, max(ends, default=start) + NEAR_US)

    def was_rung_before(self, user: str, round_: Round) -> bool:
        return self.rung_before_at(user, round_) is not None

    def rung_before_at(self, user: str, round_: Round) -> int | None:
        """When the last earlier ring of the same session that rang the user began."""
        earlier = (
            one.started_at
            for one in self.rounds.values()
            if one.started_at < round_.started_at
            and one.session_id == round_.session_id
            and user in [recipient.id for recipient in one.recipients]
        )
        return max(earlier, default=None)

    def has_answered(self, user: str, round_: Round) -> bool:
        return any(
            (isinstance(event, Accepted) and event.user_id == user and (event.at or 0) >= round_.started_at)
            or event.snapshot.accepted.get(user, 0) >= round_.started_at
            for event, _ in self.delivered
        )

    def marks(self) -> dict[str, str]:
        """The call's stamps, without what counts changes and notices."""
        stored = self.redis.hgetall(call_key(TENANT, CID))
        return {
            name.decode(): value.decode()
            for name, value in stored.items()
            if not name.startswith((b"version", b"pruned", b"settle_job", b"n:", b"r:"))
        }

    @invariant()
    def nobody_is_rung_twice_in_one_round(self) -> None:
        assert all(times <= 1 for times in self.sent.values())

    @invariant()
    def an_open_round_is_on_the_agenda(self) -> None:
        if self.unsettled():
            assert self.redis.zscore(self.own.key(AGENDA), f"{TENANT}:{CID}") is not None

    def unsettled(self) -> list[tuple[int, str]]:
        found = []
        for start, round_ in self.rounds.items():
            outcomes = self.redis.hgetall(round_key(TENANT, CID, start))
            found += [(start, one.id) for one in round_.recipients if f"o:{one.id}".encode() not in outcomes]
        return found

    def teardown(self) -> None:
        """In the end, everybody who was rung has one outcome, recorded once."""
        try:
            for _ in range(3):
                self.pass_time(200)
                self.watch()
            assert not self.unsettled()
            assert self.redis.zcard(self.own.key(AGENDA)) == 0
            lines = self.runner.run(trail_of(self.store, CID, TENANT))
            outcomes = Counter((line.round, line.user) for line in lines if line.what == "settled")
            assert set(outcomes.values()) <= {1}
            assert {(start, one.id) for start, round_ in self.rounds.items() for one in round_.recipients} <= set(
                outcomes
            )
            assert all(Standing(line.outcome) for line in lines if line.what == "settled")
        finally:
            self.close()

    def close(self) -> None:
        self.runner.close()
        self.redis.close()


SETTINGS = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


class ForgetfulCallModel(CallModel):
    """The same, for calls that forget each closed round as early as possible."""

    def marks(self) -> Any:
        """A webhook that is posted again may bring back stamps that the call has forgotten."""
        return None

    @rule(
        members=st.sets(st.sampled_from(USERS[1:]), min_size=1),
        session=st.sampled_from(SESSIONS),
        missed=st.booleans(),
        pause_s=st.sampled_from([200, 400]),
    )
    def ring_out(self, members: set[str], session: str, missed: bool, pause_s: int) -> None:
        """A ring ends, and is old enough to be forgotten when the call rings again."""
        self.ring(CREATOR, members, session, 30, 0, NOTHING, lost=False)
        if missed:
            self.miss(members, session, notify=True, age_s=0, told=NOTHING, lost=False)
        self.pass_time(pause_s)
        self.settle()


@pytest.mark.timeout(600)
def test_a_random_call_keeps_every_promise(redis_server: RedisServer) -> None:
    run_state_machine_as_test(lambda: CallModel(redis_server), settings=SETTINGS)


@pytest.mark.timeout(600)
def test_a_call_that_forgets_rounds_keeps_every_promise(redis_server: RedisServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(forgetting, "MOST_ROUNDS", 2)
    monkeypatch.setattr(forgetting, "KEPT_ROUNDS", 1)
    run_state_machine_as_test(lambda: ForgetfulCallModel(redis_server), settings=settings(SETTINGS, max_examples=50))


def test_a_notice_is_sent_although_its_round_is_forgotten(redis_server: RedisServer, monkeypatch: Any) -> None:
    """The notice waits for a worker while the call forgets the round, and with it that Stream called it missed."""
    monkeypatch.setattr(forgetting, "MOST_ROUNDS", 2)
    monkeypatch.setattr(forgetting, "KEPT_ROUNDS", 1)
    with closing(ForgetfulCallModel(redis_server)) as call:
        call.ring("sara", {"ben"}, "s-1", ring_s=5, age_s=0, told=NOTHING, lost=False)
        rejected_later = Told({}, {"sara": 0, "ana": -20}, None)
        call.ring("ben", {"sara"}, "s-1", ring_s=5, age_s=-20, told=rejected_later, lost=False)
        call.ring_out(members={"ana"}, session="s-1", missed=True, pause_s=400)
        assert [notice.recipients[0].id for notice in call.notices] == ["ben", "ana", "sara"]
