"""Settle calls: record the final standing of every recipient once, and queue the missed-call notices that are due.

The settle job (worker/jobs.py) runs `settle_call` for one call. The watchdog repeats `queue_due_calls`, which
queues those jobs, in one worker at a time (worker/main.py). Any number of workers may settle the same call at the same
time: Redis writes a decision (bellhop/domain/call.py) only if the call has not changed since it was read, or if it
changes each time (TRIES).
A notice that no call.missed asks for may have to wait (`worker.derived_notices`).
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import NamedTuple
from uuid import uuid4

from redis.exceptions import RedisError

from bellhop import trail
from bellhop.audience import Audience
from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.call import NOTICE_DUE
from bellhop.domain.forgetting import forgettable
from bellhop.domain.round import Recipient
from bellhop.domain.settlement import Settlement, over_at
from bellhop.queue.job_payloads import QueuedRound, job
from bellhop.queue.names import NOTICE_JOB, SETTLE_JOB
from bellhop.store import call_scripts
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import LAST_ALERT, CallToSettle, FinalStanding, LaterJob
from bellhop.store.homes import ALONE, Partition
from bellhop.store.missed_calls import note_missed, note_seen
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import RawCommand, Scripts, in_partition
from bellhop.store.stored_call import StoredCall, read_call
from bellhop.telemetry import metrics
from worker.call_reading import final_in
from worker.derived_notices import DerivedNotices, HeldUp, ReadCall
from worker.lost_attempts import claimed_until, open_claims, record_lost_attempts

DUE_AT_ONCE = 100
"""Settle jobs that one script queues, in some milliseconds."""
AGAIN_MS = 10_000
"""If a settle job did not settle its call, the watchdog queues another job for the call after this time."""
ASSUMED_S = 300
"""During this time after a settle job was queued, the watchdog assumes that the job is still on the queue."""
MOST_WAITING = 200
"""With more jobs in the queue, one step of the watchdog queues no more than DUE_AT_ONCE."""
LONG_FOR_S = 0.25
"""How long one step of the watchdog waits until the queue is shorter."""
TRIES = 5
"""If a call changes each time between reading and writing, the last of so many decisions is recorded in any case. A
call that thousands join and leave may always change. What came meanwhile counts as an event that comes later."""
CHANGED_AGAIN_MS = 1_000
"""Then the call is looked at again after this time."""
SETTLED_AT_ONCE = 50
"""Standings that one script records, with their notices: while it runs, Redis does nothing else."""
NOTED_WITHIN_S = 0.1
"""How long a settle job waits until missed calls are noted: a node that has the users may be away."""
_NOTING = set[asyncio.Task[None]]()
ANY_NUMBER = 10**9
"""Stands for no limit."""
QUEUE_IS_LONG_S = 0.02
"""Pause before the watchdog looks again whether the queue is short enough."""


class QuietEnd(NamedTuple):
    """The end of a user's ring without a missed-call notice."""

    round: QueuedRound
    """The round, with this user as its only recipient."""
    by_alert: bool
    """Whether alerts rang a phone in this round."""


async def settle_call(
    store: Store,
    tenant: str,
    cid: str,
    grace_us: Micros,
    derived: DerivedNotices | None = None,
    audience: Audience | None = None,
    missed_kept_s: int = 0,
    *,
    in_turn: bool = False,
) -> list[QuietEnd]:
    """Record the standings that are final now, and set when the call is due again. Waits while Redis is away.

    Returns the ends of rings that have no missed-call notice.

    `derived`: decides what a notice waits for if no call.missed asks for it; None: it does not wait.
    `audience`: who hears of the ends of rings; None if nobody does.
    `missed_kept_s`: how long a missed call is kept while its user has not seen it; 0: missed calls are not noted.
    `in_turn`: whether notices of several tenants may wait.
    """
    record = partial(_record, store, cid, audience=audience, missed_kept_s=missed_kept_s, in_turn=in_turn)
    quiet_ends: list[QuietEnd] = []
    quiet: list[Settlement] = []
    missed: list[Settlement] = []
    asked, tries = False, 0
    while True:
        tries += 1
        stored = await until_redis_answers(lambda: read_call(store, tenant, cid))
        call = await final_in(store, tenant, cid, stored, grace_us)
        # The last try may have written some of them; all of them if only its answer was lost.
        quiet_ends += _quiet_ends([found for found in quiet if _is_recorded(found, stored)], call, stored)
        await _take_back(store, tenant, cid, missed, stored)
        await record_lost_attempts(store, call.rounds, stored)
        held_up = HeldUp() if derived is None else await derived.held_up(call, asked=asked)
        due = [found for found in call.settlements if found not in held_up.settlements]
        quiet = [found for found in due if not found.notice]
        missed = [found for found in due if found.notice and missed_kept_s]
        if not await until_redis_answers(partial(record, stored, call, held_up, in_any_case=tries >= TRIES)):
            continue  # the call changed between reading and writing: decide again
        quiet_ends += _quiet_ends(quiet, call, stored)
        quiet, missed = [], []
        if derived is None or not held_up.questions:
            return quiet_ends
        await derived.ask(held_up.questions)
        asked = True


def _is_recorded(settlement: Settlement, stored: StoredCall) -> bool:
    return _recorded(settlement, stored) == settlement.standing


def _recorded(settlement: Settlement, stored: StoredCall) -> str | None:
    return stored.rounds.get(settlement.started_at, {}).get(f"o:{settlement.user}")


def _quiet_ends(settlements: Sequence[Settlement], call: ReadCall, stored: StoredCall) -> list[QuietEnd]:
    by_alert = {at: has_alerts(stored.rounds[at]) for at in {settlement.started_at for settlement in settlements}}
    return [
        QuietEnd(for_one(call.rounds[ended.started_at], ended.user, stored), by_alert[ended.started_at])
        for ended in settlements
    ]


async def _record(
    store: Store,
    cid: str,
    stored: StoredCall,
    call: ReadCall,
    held_up: HeldUp,
    *,
    audience: Audience | None,
    missed_kept_s: int,
    in_turn: bool,
    in_any_case: bool,
) -> bool:
    """Record what is not held up. False if the call changed meanwhile: nothing is written from then on.

    `in_any_case`: it is written all the same, and the call is looked at again soon.
    """
    settlements = [settlement for settlement in call.settlements if settlement not in held_up.settlements]
    claimed = {started_at for started_at, fields in stored.rounds.items() if any(open_claims(fields))}
    last = CallToSettle(
        call.tenant,
        cid,
        call.state.version,
        call.now,
        next_ms=_due_again_ms(call, settlements, held_up, claimed_until(stored)),
        rounds=tuple(stored.rounds),
        redis_ahead_us=stored.redis_ahead_us,
        forgotten=forgettable(call.state, claimed, call.now),
        in_turn=in_turn,
    )
    if in_any_case:
        last = replace(last, version=None, next_ms=call.now // 1000 + CHANGED_AGAIN_MS, forgotten=None)
    # If this worker dies before the last part, the watchdog looks at the call again.
    more = replace(last, next_ms=call.now // 1000 + AGAIN_MS, forgotten=None)
    while len(settlements) > SETTLED_AT_ONCE:
        part, settlements = settlements[:SETTLED_AT_ONCE], settlements[SETTLED_AT_ONCE:]
        if not await _record_part(store, stored, call, more, part, audience, missed_kept_s):
            return False
    return await _record_part(store, stored, call, last, settlements, audience, missed_kept_s)


async def _record_part(
    store: Store,
    stored: StoredCall,
    call: ReadCall,
    to_settle: CallToSettle,
    settlements: list[Settlement],
    audience: Audience | None,
    missed_kept_s: int,
) -> bool:
    standings = [
        replace(_final_standing(found, round_, stored), told=_told_of(found, round_, stored, audience))
        for found in settlements
        for round_ in [call.rounds[found.started_at]]
    ]
    missed = [found for found in settlements if found.notice and missed_kept_s]
    # The script queues the notices. So that a notice counts its own call, the calls are noted before.
    await _note(
        store,
        [note_missed(call.tenant, found.user, to_settle.cid, found.started_at, missed_kept_s) for found in missed],
    )
    command = call_scripts.settle_call(replace(to_settle, standings=standings))
    recorded: list[int] | None = await store.script(*command)
    for number in recorded or ():  # the numbers begin at 1
        metrics.SETTLED.add(settlements[number - 1].standing)
    return recorded is not None


async def _take_back(store: Store, tenant: str, cid: str, missed: Iterable[Settlement], stored: StoredCall) -> None:
    """Take back that users missed a call, unless that is recorded by now: only an answer was lost, or another worker
    recorded it."""
    wrong = [found for found in missed if _recorded(found, stored) not in NOTICE_DUE]
    await _note(store, [note_seen(tenant, found.user, None, [cid]) for found in wrong])


async def _note(store: Store, notes: Iterable[Iterable[RawCommand]]) -> None:
    """Run the commands of some users. They are not repeated if Redis fails, and wait no longer than NOTED_WITHIN_S."""
    commands = list(chain.from_iterable(notes))
    if commands:
        noting = asyncio.create_task(_run(store, commands))
        _NOTING.add(noting)
        noting.add_done_callback(_NOTING.discard)
        await asyncio.wait([noting], timeout=NOTED_WITHIN_S)


async def _run(store: Store, commands: Iterable[RawCommand]) -> None:
    with contextlib.suppress(RedisError):
        await store.together(*commands, in_order=False)


def _due_again_ms(call: ReadCall, settlements: list[Settlement], held_up: HeldUp, open_until: Micros) -> int | None:
    """Return when the call must be looked at again, unix ms; None if no round is open and no attempt is under way."""
    if held_up.until:
        return held_up.until // 1000 + 1
    if held_up.questions:  # this job goes on when Stream has answered
        return call.now // 1000 + AGAIN_MS
    settled = {(settlement.started_at, settlement.user) for settlement in settlements}
    ends_us = [
        over_at(round_, call.grace_us)
        for round_ in call.state.rounds
        if any((round_.started_at, user) not in settled for user in round_.recipients - round_.settled)
    ]
    if open_until:
        ends_us.append(open_until)
    return min(ends_us) // 1000 + 1 if ends_us else None


def _final_standing(settlement: Settlement, round_: QueuedRound, stored: StoredCall) -> FinalStanding:
    """Build what Redis records of a settlement: the standing, its trail line, and the job of a notice if one is due."""
    user, standing = settlement.user, settlement.standing
    line = trail.encode(
        trail.UserSettled(at=stored.redis_now, user=user, outcome=standing, round=settlement.started_at)
    )
    if not settlement.notice:
        return FinalStanding(round_, user, standing, line)
    payload = for_one(round_, user, stored)
    if not settlement.rings_until:
        return FinalStanding(round_, user, standing, line, _notice(payload))
    first, then = payload.model_copy(update={"still_rings": True}), payload.model_copy(update={"left_over": True})
    later = LaterJob(_notice(then), settlement.rings_until)
    return FinalStanding(round_, user, standing, line, _notice(first), later)


def for_one(round_: QueuedRound, user: str, stored: StoredCall) -> QueuedRound:
    """Return the round with one of its recipients."""
    recipient = Recipient.model_validate_json(stored.rounds[round_.started_at]["u:" + user])
    return round_.model_copy(update={"recipients": (recipient,), "queued_at": stored.redis_now})


def _told_of(
    settlement: Settlement, round_: QueuedRound, stored: StoredCall, audience: Audience | None
) -> Mapping[str, object] | None:
    """Return what is announced about a settlement; None if nobody hears of it, or if no phone was rung."""
    if audience is None or round_.ringless:
        return None
    at, standing = stored.redis_now, settlement.standing
    return audience.told_of(about_ring(AnnouncementType.ENDED, round_, settlement.user, at, standing=standing))


def has_alerts(fields: Mapping[str, str]) -> bool:
    """Tell from the fields of a round whether alerts rang a phone in it."""
    return any(name.startswith(LAST_ALERT) for name in fields)


def _notice(payload: QueuedRound) -> dict[str, str]:
    return job(f"notice-{uuid4().hex}", NOTICE_JOB, payload)


async def queue_due_calls(
    store: Scripts, *, again_ms: int = AGAIN_MS, assumed_s: int = ASSUMED_S, among: Sequence[Partition] = ALONE
) -> None:
    """Queue a settle job for each call that is due: DUE_AT_ONCE calls, and then as many as the queue takes.

    While the queue is long, calls stay on the agenda: notices that are queued later must not wait behind all of them.
    Each of the partitions has an agenda and a queue of its own.
    """
    await asyncio.gather(*(_queue_due_calls(store, partition, again_ms, assumed_s) for partition in among))


async def _queue_due_calls(store: Scripts, partition: Partition, again_ms: int, assumed_s: int) -> None:
    enqueue_due = partial(
        call_scripts.enqueue_due, job("", SETTLE_JOB), limit=DUE_AT_ONCE, again_ms=again_ms, assumed_s=assumed_s
    )
    until_s, most_waiting = time.monotonic() + LONG_FOR_S, ANY_NUMBER
    while True:
        looked = await store.script(*in_partition(enqueue_due(most_waiting=most_waiting), partition))
        if looked is None and time.monotonic() < until_s:
            await asyncio.sleep(QUEUE_IS_LONG_S)
        elif looked is None or looked < DUE_AT_ONCE:
            return
        most_waiting = MOST_WAITING
