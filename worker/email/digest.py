"""The missed-call e-mail: whether one is due, waiting for more calls of the same caller, and handing it over.

A call goes into a letter (`bellhop:letter:<id>`) in one script, together with the job that will send it; a letter is
claimed, closed, and marked as done or for later in one script each. So a worker may die anywhere: the job comes back
and goes on where it was. Only a worker that dies between the mail server's answer and its note of it sends a letter
twice, under the same Message-ID.
"""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid4, uuid5

import structlog

from bellhop import trail
from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds, from_nanoseconds
from bellhop.domain.email_address import deliverable_address
from bellhop.domain.outcomes import MEANING, AttemptResult, Outcome
from bellhop.domain.round import Recipient
from bellhop.domain.user import Contact, User, complete_contact
from bellhop.queue import job_payloads
from bellhop.queue.job_payloads import EmailRef, QueuedRound, read_payload
from bellhop.queue.names import MAIL_JOB
from bellhop.store import email_scripts, registry
from bellhop.store.async_client import Store
from bellhop.store.call_scripts import record_attempt
from bellhop.store.email_scripts import ClaimedEmail
from bellhop.store.retry import until_redis_answers
from bellhop.telemetry import metrics
from worker.delivery.fence import REFUSALS
from worker.email.message import LISTED, MessageBuilder, MissedCalls
from worker.providers.smtp import ATTEMPT_S, EmailSender

log = structlog.get_logger()

Policy = Literal["always", "unpushed"]

LEASE_S = Seconds(ATTEMPT_S + 10)
"""How long a letter may be claimed for one attempt."""
PAUSE_S = (60.0, 3600.0, (0.75, 1.25))
"""First and longest pause between attempts, doubled each time; and its jitter."""
GIVE_UP_S = 24 * 3600
"""How long after the first attempt a letter is tried again."""
MOST_UNKNOWN = 3
"""Attempts without an answer to the whole e-mail after which it is not repeated: each of them may have delivered it."""


def objection(policy: Policy, person: User, contact: Contact, started_at: Micros, pushed: bool) -> Outcome | None:
    """Why a missed call makes no e-mail; None when it does. `pushed`: a push notice of it was accepted."""
    if policy == "unpushed" and pushed:
        return Outcome.PUSH_ACCEPTED
    if person.preferences.muted(started_at):
        return Outcome.MUTED
    if not person.preferences.email:
        return Outcome.MAIL_OFF
    return None if contact.email else Outcome.NO_ADDRESS


def contact_of(person: User, recipient: Recipient) -> Contact:
    """Return where to send the e-mail. What the app has stored goes before what the event says."""
    email = deliverable_address(recipient.email) or ""
    return complete_contact(person.contact, recipient.model_copy(update={"email": email}))


class EmailDigest:
    """E-mails of one worker: `offer` a missed call, `send` a letter whose time has come."""

    def __init__(
        self,
        store: Store,
        worker: str,
        sender: EmailSender,
        stationery: MessageBuilder,
        policy: Policy,
        window_s: int,
    ) -> None:
        self._store, self._worker, self._sender, self._stationery = store, worker, sender, stationery
        self._policy, self._window_s = policy, window_s

    async def offer(self, round_: QueuedRound, *, pushed: bool) -> None:
        """Put a call that its one recipient missed into an e-mail, if one is due. Waits for Redis when it is away."""
        (recipient,) = round_.recipients
        person = await self._person(round_)
        reason = objection(self._policy, person, contact_of(person, recipient), round_.started_at, pushed)
        if reason is None:
            word = await until_redis_answers(lambda: self._collect(round_, recipient))
            reason = REFUSALS.get(word.decode())
        if reason is not None:
            metrics.MAIL.add(reason)
            await until_redis_answers(lambda: self._note(round_, reason))

    async def send(self, payload: dict[str, Any]) -> None:
        """Make one attempt at a letter, and note what came of it; the job that RQ keeps for it."""
        ref = read_payload(MAIL_JOB, payload)
        assert isinstance(ref, EmailRef)  # noqa: S101 - tells the type checker what the table says
        run = uuid4().hex
        claimed = await until_redis_answers(lambda: self._take(ref.letter, run))
        if claimed is None:
            return
        reasons = [(QueuedRound.model_validate_json(call), _over(standing)) for call, standing in claimed.calls]
        calls = [round_ for round_, over in reasons if over is None]
        lines = [(round_, _line(round_, AttemptResult(over))) for round_, over in reasons if over is not None]
        wait_s, later, unknown = pause_s(claimed.attempts, *PAUSE_S), False, False
        if calls:
            began = time.time()
            answer = await self._attempt(ref.letter, calls, claimed.count - len(claimed.calls) + len(calls))
            ms = round((time.time() - began) * 1000, 1)
            # One letter may have several causes: the line names each webhook.
            causes = sorted({round_.webhook for round_ in calls if round_.webhook})
            log.info("mail", letter=ref.letter, webhooks=causes, outcome=answer.outcome, status=answer.status, ms=ms)
            metrics.MAIL.add(answer.outcome)
            lines += [(round_, _line(round_, answer, ms)) for round_ in calls]
            unknown = answer.outcome is Outcome.MAIL_UNKNOWN
            if MEANING[answer.outcome].retry:
                later = claimed.age_s + wait_s <= GIVE_UP_S and claimed.unknown + unknown < MOST_UNKNOWN
                if not later:
                    metrics.MAIL.add(Outcome.MAIL_GAVE_UP)
                    lines += [(round_, _line(round_, AttemptResult(Outcome.MAIL_GAVE_UP))) for round_ in calls]
        await until_redis_answers(lambda: self._record(ref.letter, run, wait_s if later else None, unknown, lines))

    async def _attempt(self, letter: str, calls: Sequence[QueuedRound], count: int) -> AttemptResult:
        """Ask the user's preferences once more, write the e-mail, and hand it over."""
        latest = calls[-1]
        person = await self._person(latest)
        contact = contact_of(person, latest.recipients[0])
        reason = objection("always", person, contact, latest.started_at, pushed=False)
        if reason is not None:
            return AttemptResult(reason)
        # A template of the team's may do anything, and Python's email package has raised what nobody thought of.
        try:
            message = self._stationery.message(MissedCalls(letter, contact, calls, count), datetime.now(UTC)).as_bytes()
        except Exception as error:
            log.exception("mail_not_written", letter=letter, error=type(error).__name__)
            return AttemptResult(Outcome.MAIL_UNWRITTEN, reason=type(error).__name__)
        return await self._sender.send(message, contact.email or "")

    async def _person(self, round_: QueuedRound) -> User:
        user = round_.recipients[0].id
        users = await until_redis_answers(
            lambda: registry.read_users(self._store, round_.tenant, [user], round_.caller_id)
        )
        return users.users.get(user, User())

    async def _collect(self, round_: QueuedRound, recipient: Recipient) -> bytes:
        # Made from the call that opens the e-mail, so that a step that is repeated names the same one.
        names = ["letter", round_.tenant, round_.cid, round_.started_at, recipient.id]
        email_id = uuid5(NAMESPACE_OID, json.dumps(names)).hex
        email = email_scripts.NewEmail(email_id, self._window_s, _job(email_id))
        line = _line(round_, AttemptResult(Outcome.MAIL_WAITING))
        command = email_scripts.add_missed_call(round_, recipient, email, whole_calls=LISTED, now=_now_us(), line=line)
        word: bytes = await self._store.script(*command)
        return word

    async def _note(self, round_: QueuedRound, reason: Outcome) -> None:
        await self._store.script(*record_attempt(round_, [_line(round_, AttemptResult(reason))]))

    async def _take(self, email_id: str, run: str) -> ClaimedEmail | None:
        """Claim an e-mail; None if it may not be sent now: it is done, claimed, or has a job of its own later."""
        command = email_scripts.claim_email(
            email_id, _job(email_id, run), worker=self._worker, run=run, claim_s=LEASE_S, now=_now_us()
        )
        return email_scripts.claimed_email(await self._store.script(*command))

    async def _record(
        self, email_id: str, run: str, wait_s: Seconds | None, unknown: bool, lines: Sequence[tuple[QueuedRound, str]]
    ) -> None:
        """Record an attempt; `wait_s` is None if the e-mail is done."""
        next_try = None if wait_s is None else email_scripts.NextTry(wait_s, _job(email_id, run))
        command = email_scripts.record_email_attempt(
            email_id, lines, worker=self._worker, run=run, next_try=next_try, unknown=unknown, now=_now_us()
        )
        await self._store.script(*command)


def _over(standing: str) -> Outcome | None:
    """What makes a missed call not worth telling by the time of its e-mail: the user has dealt with it since."""
    outcome = REFUSALS.get(standing)
    return outcome if outcome in {Outcome.ANSWERED, Outcome.DECLINED} else None


def _line(round_: QueuedRound, answer: AttemptResult, ms: float | None = None) -> str:
    return trail.encode(
        trail.EmailMilestone(
            at=from_nanoseconds(time.time_ns()),
            round=round_.started_at,
            user=round_.recipients[0].id,
            outcome=answer.outcome,
            status=answer.status or None,
            reason=answer.reason,
            id=answer.provider_id,
            ms=ms,
        )
    )


def _job(email_id: str, run: str = "") -> dict[str, str]:
    job_id = f"mail-{email_id}-{run}" if run else f"mail-{email_id}"
    return job_payloads.job(job_id, MAIL_JOB, EmailRef(letter=email_id))


def _now_us() -> Micros:
    return from_nanoseconds(time.time_ns())
