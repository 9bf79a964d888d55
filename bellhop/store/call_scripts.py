"""The scripts of a call (lua/calls/): the order of their keys and arguments, and the document that two of them take.

Every function returns a Command to run. Such a document is MessagePack: Lua reads it faster than JSON. Numbers in it
are strings, since Lua would round some of them. Times are in Stream's time (docs/decisions/0009); those that Redis
compares with its own clock are converted here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from pydantic_core import to_json

from bellhop import trail
from bellhop.clock import MICROS_PER_SECOND, Micros, iso
from bellhop.domain.call import CALL_TTL_S, OPEN_TTL_S, Stamp, missed_stamp
from bellhop.domain.forgetting import Forgotten
from bellhop.domain.json_text import encoded
from bellhop.domain.phone_report import MOST_REPORTS, REJECTIONS, VALID_AFTER_US, PhoneEvent
from bellhop.domain.round import Round
from bellhop.domain.stamp_history import KEPT
from bellhop.domain.ticket import Ticket
from bellhop.store.job_keys import JobFields, add_job, add_new_job, add_outboxes_of, of_tenant
from bellhop.store.keys import (
    AGENDA,
    RQ_QUEUES,
    call_key,
    calls_key,
    lease_key,
    owner_key,
    people_of_calls_key,
    question_key,
    round_key,
    round_prefix,
    rung_key,
    stream_clock_key,
    trail_key,
    webhook_key,
)
from bellhop.store.queue_scripts import queue_keys
from bellhop.store.scripts import Argument, Command, RawCommand

WEBHOOK_TTL_S = 3600
"""How long the id of a webhook is remembered. Stream repeats a webhook for 15 seconds."""

LAST_ALERT = "alert:"
"""The start of a field of a round. It says when an alert last rang a phone: `<claim>|<µs by Redis's clock>`."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """The bound and the trail's lines of an event that calls people, for when other jobs of its tenant wait."""

    most_waiting: int
    """With more jobs of the tenant waiting, the event is not taken."""
    waits_line: str
    """The trail's line if the job waits for its tenant's turn."""
    put_off_line: str
    """The trail's line if the event is not taken."""


class EventToTake(msgspec.Struct, frozen=True, gc=False):
    """What one event changes."""

    tenant: str
    cid: str
    webhook: str
    """The digest of the webhook's id."""
    now: Micros
    line: str
    """The trail's line when the event is taken."""
    repeated_line: str
    """The trail's line when the webhook was taken before. Empty: such a repeat leaves no line."""
    trail_ttl_s: int
    settle_at: Micros
    """When a round that the event opens must be looked at."""
    settle_open: bool = False
    """Whether the open rounds of the call must be looked at now."""
    stamps: Iterable[tuple[str, Micros]] = ()
    history: Iterable[tuple[str, Micros]] = ()
    """The fields that keep these stamps one by one (`bellhop.domain.stamp_history`)."""
    round: Round | None = None
    """The round that the event opens."""
    missed: Round | None = None
    """The round that a call.missed opens for those of its recipients who are in no known round."""
    jobs: Sequence[JobFields] = ()
    claim: str = ""
    """The digest that is claimed: of the webhook's body, or by default of its id."""
    jobs_need_open: bool = False
    """Whether the jobs are queued only if the call has an open round."""
    jobs_settle: bool = False
    """Whether the jobs settle the call: if such a job waits already, they are not queued."""
    redis_ahead_us: int = 0
    """How far Redis's clock is ahead of Stream's."""
    listed: Mapping[str, str] | None = None
    """The call's entry in the tenant's lists of latest calls (`bellhop.call_index.NewEntry`)."""
    in_turn: bool = False
    """Whether its jobs wait for the tenant's turn."""
    turn: Turn | None = None
    """Given if its jobs wait for the tenant's turn and the event calls people. Such an event has one job."""


def take_event(event: EventToTake) -> Command:
    """Apply one event, once for each webhook. The script returns "taken", "already" or "put_off"."""
    tenant, cid = event.tenant, event.cid
    keys = [webhook_key(event.claim or event.webhook), call_key(tenant, cid), trail_key(tenant, cid), AGENDA]
    keys += [rung_key(tenant, cid), webhook_key(event.webhook)]
    if begun := event.round or event.missed:
        keys += [round_prefix(tenant, cid), round_key(tenant, cid, begun.started_at)]
    turn = of_tenant(tenant, in_turn=event.in_turn)
    redis_now = Micros(event.now + event.redis_ahead_us)
    settle_at = Micros(event.settle_at + event.redis_ahead_us)
    document: dict[str, Any] = {
        "now": iso(redis_now),
        "now_us": str(redis_now),
        "stale": _stale(event.now),
        "member": f"{event.tenant}:{event.cid}",
        "stamps": [(name, str(at)) for name, at in event.stamps],
        "history": [(field, str(at)) for field, at in event.history],
        "history_kept": str(KEPT),
        "jobs": [add_new_job(keys, {**_in_redis_time(job, event.redis_ahead_us), **turn}) for job in event.jobs],
        "trail": event.line,
        "repeated": event.repeated_line,
    }
    if event.turn:
        document["most_waiting"] = str(event.turn.most_waiting)
        document["waits"], document["put_off"] = event.turn.waits_line, event.turn.put_off_line
    if event.settle_open:
        document["settle_open"] = "1"
    if event.jobs_need_open:
        document["jobs_need_open"] = "1"
    if event.jobs_settle:
        document["jobs_settle"] = "1"
    if event.round:
        document["round"] = _opened(event.round, settle_at)
    if event.missed:
        document["missed"] = _opened(event.missed, settle_at)
    if event.listed:
        document["listed"] = {**event.listed, "first_key": str(len(keys) + 1)}
        keys += (calls_key(tenant), people_of_calls_key(tenant))
    args: list[Argument] = [trail.LENGTH, WEBHOOK_TTL_S, CALL_TTL_S, OPEN_TTL_S, event.trail_ttl_s]
    return Command("calls/take_event", keys, [*args, _packed(document)])


def _stale(now: Micros) -> str:
    """Return the time before which a call's fields and traces are outdated (unix µs)."""
    return str(now - OPEN_TTL_S * MICROS_PER_SECOND)


def _in_redis_time(job: JobFields, redis_ahead_us: int) -> JobFields:
    """Convert a job's deadline: the scripts of the queue compare it with Redis's clock."""
    deadline = job.get("deadline")
    return job if deadline is None else {**job, "deadline": str(int(deadline) + redis_ahead_us)}


def _opened(round_: Round, settle_at: Micros) -> dict[str, Any]:
    return {
        "started_at": str(round_.started_at),
        "session_id": round_.session_id,
        "ringless": round_.ringless,
        "facts": round_.as_json(recipients=()),
        "recipients": [(recipient.id, recipient.as_json()) for recipient in round_.recipients],
        "settle_at_ms": str(settle_at // 1000),
    }


def read_traces(tenant: str, cid: str, names: Sequence[str]) -> RawCommand:
    """Return the command that reads when forgotten rounds began, by the names of their traces."""
    return ("ZMSCORE", rung_key(tenant, cid), *names)


class LaterJob(NamedTuple):
    """A job that is queued at a later time."""

    job: JobFields
    at: Micros


@dataclass(frozen=True, slots=True)
class FinalStanding:
    """The final standing of one recipient in one round."""

    round: Round
    user: str
    standing: str
    line: str
    """For the trail."""
    notice: JobFields | None = None
    """The job of the missed-call notice, if one is due. It is queued unless the user had a notice before."""
    later: LaterJob | None = None
    """A second job for the same notice, queued if the first one is."""
    told: Mapping[str, object] | None = None
    """What is announced (`bellhop.audience`)."""


@dataclass(frozen=True, slots=True)
class CallToSettle:
    """What to record of a call that was read with this version."""

    tenant: str
    cid: str
    version: int | None
    """None: it is recorded in any case."""
    now: Micros
    standings: Sequence[FinalStanding] = ()
    next_ms: int | None = None
    """When the call must be looked at again, unix ms; None if every round is closed."""
    rounds: Iterable[Micros] = field(default=())
    """The starts of all of its rounds."""
    redis_ahead_us: int = 0
    """How far Redis's clock is ahead of Stream's."""
    forgotten: Forgotten | None = None
    """What the call forgets."""
    in_turn: bool = False
    """Whether its notices wait for the tenant's turn."""


def settle_call(call: CallToSettle) -> Command:
    """Record final standings, and queue the notices that are due.

    The script returns the numbers (from 1) of the standings that were recorded now. If the call has another version by
    now, it does nothing and returns None.
    """
    tenant, cid = call.tenant, call.cid
    keys = [call_key(tenant, cid), trail_key(tenant, cid), AGENDA, rung_key(tenant, cid), round_prefix(tenant, cid)]
    rounds = {*call.rounds, *(final.round.started_at for final in call.standings)}
    if call.forgotten:
        rounds.update(call.forgotten.rounds)
    keys += (round_key(tenant, cid, started_at) for started_at in rounds)
    document: dict[str, Any] = {
        "member": f"{call.tenant}:{call.cid}",
        "now": iso(Micros(call.now + call.redis_ahead_us)),
        "settlements": [_settlement(keys, final, call) for final in call.standings],
        "next_ms": "" if call.next_ms is None else str(call.next_ms + call.redis_ahead_us // 1000),
        "rounds": [str(started_at) for started_at in call.rounds],
    }
    if call.forgotten:
        document["forgotten"] = _forgotten(call, call.forgotten)
    version = "" if call.version is None else call.version
    args: list[Argument] = [trail.LENGTH, trail.DAY_S, CALL_TTL_S, OPEN_TTL_S, version, _packed(document)]
    return Command("calls/settle_call", keys, args)


def _forgotten(call: CallToSettle, forgotten: Forgotten) -> dict[str, Any]:
    return {
        "until": str(forgotten.until),
        "stale": _stale(call.now),
        "traces": [part for name, at in forgotten.traces.items() for part in (str(at), name)],
        "fields": [*(f"r:{started_at}" for started_at in forgotten.rounds), *forgotten.fields],
        "rounds": [str(started_at) for started_at in forgotten.rounds],
    }


def _settlement(keys: list[str], final: FinalStanding, call: CallToSettle) -> dict[str, Any]:
    round_, turn = final.round, of_tenant(call.tenant, in_turn=call.in_turn)
    document: dict[str, Any] = {
        "started_at": str(round_.started_at),
        "ringless": round_.ringless,
        "noticed": missed_stamp(Stamp.NOTICED, round_.session_id, final.user),
        "user": final.user,
        "standing": final.standing,
        "trail": final.line,
    }
    if final.notice is not None:
        document["job"] = add_job(keys, {**final.notice, **turn})
    if final.later is not None:
        document["later"] = {
            "job": add_job(keys, {**final.later.job, **turn}),
            "at_s": str((final.later.at + call.redis_ahead_us) // 1_000_000 + 1),
        }
    if final.told is not None:
        document["told"] = add_outboxes_of(keys, final.told)
    return document


def announce(round_: Round, items: Sequence[Mapping[str, object]], now: str) -> Command:
    """Announce facts about users in a round, each once. `bellhop.audience` builds the items; `now` is in RQ's form.

    The script returns the numbers (from 1) of the facts that were announced now.
    """
    tenant, cid = round_.tenant, round_.cid
    keys = [call_key(tenant, cid), round_key(tenant, cid, round_.started_at), rung_key(tenant, cid)]
    keys.append(round_prefix(tenant, cid))
    document = {
        "now": now,
        "start": str(round_.started_at),
        "deadline": str(round_.deadline),
        "session": round_.session_id,
        "callers": round_.callers,
        "items": [add_outboxes_of(keys, item) for item in items],
    }
    return Command("calls/announce", keys, [_packed(document)])


def enqueue_due(job: JobFields, *, limit: int, most_waiting: int, again_ms: int, assumed_s: int) -> Command:
    """Queue `job` for each call whose time has come, up to `limit` calls; none if more than `most_waiting` jobs wait.

    Each of these calls is due again after `again_ms`, and then gets another job, unless its job still waits or runs.
    During `assumed_s` after a job was queued, the script assumes that it waits; later, only if the first job in the
    queue was not queued after it. The script returns at how many calls it looked, or None if too many jobs wait.
    """
    args: list[Argument] = [limit, again_ms, _json(job), assumed_s, most_waiting]
    return Command("calls/enqueue_due", [*queue_keys([job["queue"]]), AGENDA, RQ_QUEUES], args)


def claim_devices(
    round_: Round,
    claim: str,
    devices: Iterable[tuple[str, str]],
    *,
    deadline_us: Micros,
    worker: str,
    run: str,
    claim_us: Micros,
    redis_ahead_us: int | None = None,
    tickets: bool = False,
    rung: Sequence[str] = (),
    alerts: Sequence[str] = (),
) -> Command:
    """Claim devices (user id and device key) for an attempt by one run of one worker, for `claim_us`.

    `claim`: the kind of push; of a repetition, with its number. `redis_ahead_us`: how far Redis's clock is ahead of
    Stream's, if the worker read it a moment ago. `tickets`: whether the pushes carry tickets; then the round remembers
    for whom each device was rung. `rung`, of a second ring: for each device, the key of the device by which its phone
    was rung. `alerts`: the keys of the devices whose phones show the push as an alert that rings.
    `read_owners` reads whether each token still belongs to its user.
    The script returns the time left (µs), that difference if it read it, then for each device "go", the reason why it
    may not be sent this push, or "orphaned " and a claim that must be ended by `record_lost_attempts` first.
    """
    tenant, cid = round_.tenant, round_.cid
    args: list[Argument] = [claim, round_.started_at, round_.session_id, to_json(round_.callers), deadline_us]
    args += [worker, run, claim_us, CALL_TTL_S, round_.deadline]
    args += ["" if redis_ahead_us is None else redis_ahead_us, "1" if tickets else ""]
    args += [to_json(keys) if keys else "" for keys in (rung, alerts)]
    args += [part for device in devices for part in device]
    round_of_call = round_key(tenant, cid, round_.started_at)
    keys = [call_key(tenant, cid), round_of_call, lease_key(worker), stream_clock_key(tenant), rung_key(tenant, cid)]
    keys += [round_prefix(tenant, cid), lease_key("")]
    return Command("calls/claim_devices", keys, args)


def read_owners(tenant: str, device_keys: Iterable[str]) -> RawCommand:
    """Return the command that reads which user has each push token. It goes right before `claim_devices`."""
    return ("MGET", *(owner_key(tenant, key) for key in device_keys))


class LostAttempt(NamedTuple):
    """An attempt with an unknown result, as its orphaned claim shows."""

    kind: str
    device: str
    """The device's key."""
    claim: str
    line: str
    """For the trail."""


def record_lost_attempts(round_: Round, attempts: Iterable[LostAttempt]) -> Command:
    """Put attempts on the trail whose claims are orphaned, and free their devices.

    The script returns the numbers (from 1) of the attempts that it recorded: a claim may have changed.
    """
    tenant, cid = round_.tenant, round_.cid
    keys = [round_key(tenant, cid, round_.started_at), trail_key(tenant, cid)]
    args: list[Argument] = [trail.LENGTH, trail.DAY_S]
    return Command("calls/record_lost_attempts", keys, [*args, *(part for attempt in attempts for part in attempt)])


def record_attempt(
    round_: Round,
    lines: Iterable[str],
    *,
    claim: str = "",
    worker: str = "",
    run: str = "",
    devices: Sequence[tuple[str, bool]] = (),
) -> Command:
    """Put lines on the trail, and end this run's claims of `devices` (device key, and whether its push was sent)."""
    tenant, cid = round_.tenant, round_.cid
    args: list[Argument] = [claim, worker, run, trail.LENGTH, trail.DAY_S, len(devices)]
    for device, sent in devices:
        args += [device, "sent" if sent else "free"]
    keys = [round_key(tenant, cid, round_.started_at), trail_key(tenant, cid)]
    return Command("calls/record_attempt", keys, [*args, *lines])


def restore_sent(
    tenant: str, cid: str, started_at: Micros, claim: str, *, worker: str, sent: Iterable[tuple[str, str]]
) -> Command:
    """Restore the records of pushes that `worker` sent (device key and trail line), if Redis has lost them.

    The script returns how many it restored in time, and how many after another worker began to send the push again.
    """
    keys = [round_key(tenant, cid, started_at), trail_key(tenant, cid)]
    args: list[Argument] = [claim, worker, trail.LENGTH, trail.DAY_S, CALL_TTL_S]
    return Command("calls/restore_sent", keys, [*args, *(part for pair in sent for part in pair)])


def record_receipt(ticket: Ticket, event: PhoneEvent, line: str, now: Micros) -> Command:
    """Record what a phone reports with its ticket, once for each event. `now` is the time by Stream's clock.

    The script returns what it did ("recorded", "already", "over" if the round has expired, "expired", "too_many" or
    "rejected") and the user for whom the device was rung, empty if that is not known. After "rejected", nothing is
    recorded yet: it also returns the round's facts, and the start of the call's next ring (empty if there is none).
    """
    tenant, cid, started_at = ticket.tenant, ticket.cid, ticket.started_at
    args: list[Argument] = [ticket.device, event, line, trail.LENGTH, trail.DAY_S, started_at, now]
    args += [VALID_AFTER_US, MOST_REPORTS, "1" if event in REJECTIONS else ""]
    keys = [round_key(tenant, cid, started_at), trail_key(tenant, cid), call_key(tenant, cid)]
    return Command("calls/record_receipt", keys, args)


def keep_test(round_: Round) -> list[RawCommand]:
    """Return the commands that keep the facts of a test ring. The round is not opened: nobody settles it."""
    key = round_key(round_.tenant, round_.cid, round_.started_at)
    fields: list[Argument] = ["facts", round_.as_json(recipients=())]
    for recipient in round_.recipients:
        fields += [f"u:{recipient.id}", recipient.as_json()]
    return [("HSET", key, *fields), ("EXPIRE", key, CALL_TTL_S)]


def claim_reject(
    tenant: str, cid: str, started_at: Micros, user: str, *, worker: str, run: str, now: Micros, claim_us: Micros
) -> Command:
    """Claim telling Stream that a user rejected a ring, for `claim_us`. `now` is the time by Stream's clock.

    The script returns "go", "again" if another run left a claim, "held" while another run has it, "done", "gone",
    "too_late", "rung_again", or where the user stands, if the rejection is not what ended the ring.
    """
    args: list[Argument] = [user, started_at, now, worker, run, claim_us]
    keys = [call_key(tenant, cid), round_key(tenant, cid, started_at), rung_key(tenant, cid)]
    keys.append(round_prefix(tenant, cid))
    return Command("calls/claim_reject", keys, args)


def record_reject(tenant: str, cid: str, started_at: Micros, user: str, line: str, *, done: bool) -> Command:
    """Put on the trail the result of telling Stream of a rejection. `done`: nothing more is sent."""
    args: list[Argument] = [user, "done" if done else "", line, trail.LENGTH, trail.DAY_S]
    return Command("calls/record_reject", [round_key(tenant, cid, started_at), trail_key(tenant, cid)], args)


def claim_question(tenant: str, cid: str, session_id: str, *, run: str, claim_ms: int) -> Command:
    """Claim a question to Stream about a ring. Answers "go", "under_way" or "done" (a moment ago)."""
    return Command("calls/claim_question", [question_key(tenant, cid)], [run, session_id, claim_ms])


def keep_answer(tenant: str, cid: str, session_id: str, keep_ms: int) -> RawCommand:
    """Return the command that ends a question; the ring is not asked about again for `keep_ms`."""
    return ("SET", question_key(tenant, cid), f"done|{session_id}", "PX", keep_ms)


def _json(document: object) -> str:
    return encoded(document).decode()


def _packed(document: object) -> bytes:
    try:
        return msgspec.msgpack.encode(document)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON's writer replaces
        return msgspec.msgpack.encode(msgspec.json.decode(encoded(document)))
