"""Missed-call e-mails: calls of one caller that follow each other share an e-mail, which is sent when its window ends.

A call is added to an e-mail (`bellhop:letter:<id>`); the same script queues the e-mail's job. An e-mail is claimed
before an attempt, and the attempt is recorded. So if a worker dies, the job is run again and continues where it was. If
the worker dies after the mail server has answered and before that is recorded, the e-mail is sent twice, with the same
Message-ID.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog

from bellhop.domain.outcomes import MEANING, AttemptResult, Outcome
from bellhop.domain.user import NO_USER, User
from bellhop.queue.job_payloads import QueuedRound, read_payload
from bellhop.queue.names import MAIL_JOB
from bellhop.store import registry
from bellhop.store.async_client import Store
from bellhop.store.email_scripts import ClaimedEmail
from bellhop.store.retry import until_redis_answers
from bellhop.telemetry import metrics
from worker.delivery.fence import REFUSALS
from worker.email.email_limits import EmailLimits
from worker.email.email_policy import EmailRules, next_wait_s
from worker.email.email_store import EmailResult, EmailStore
from worker.email.message import MessageBuilder, MissedCalls
from worker.providers.smtp import EmailSender

log = structlog.get_logger()

FRESH_S = 1.0
"""If an e-mail was claimed longer ago, it is claimed again before it is sent: the worker may have lost its lease."""


class EmailDigest:
    """Collects missed calls in e-mails, and sends them."""

    def __init__(
        self,
        store: Store,
        emails: EmailStore,
        sender: EmailSender,
        builder: MessageBuilder,
        limits: EmailLimits,
        rules: EmailRules,
    ) -> None:
        self._store, self._emails, self._sender, self._builder = store, emails, sender, builder
        self._limits, self._rules = limits, rules
        self._warned = False

    @property
    def depends_on_pushes(self) -> bool:
        """Whether a user gets an e-mail only if no push about the call was accepted."""
        return self._rules.policy == "unpushed"

    async def add_missed_call(self, round_: QueuedRound, *, pushed: bool) -> None:
        """Add a call that its one recipient missed to an e-mail, if one is due. Waits while Redis is away.

        `pushed`: a provider accepted a push about the call.
        """
        (recipient,) = round_.recipients
        user = await self._user(round_)
        reason = self._rules.reason_for_no_email(user, recipient, round_.started_at, pushed)
        if reason is Outcome.STREAM_ADDRESS:
            self._warn_of_unused_address()
        if reason is None:
            reason = await self._emails.add_call(round_, recipient)
        if reason is not None:
            metrics.MAIL.add(reason)
            await self._emails.record_no_email(round_, reason)

    async def send(self, payload: dict[str, Any], begun: Callable[[], None] = lambda: None) -> None:
        """Make one attempt to send the e-mail that a job is for, and record the result.

        `begun`: called when the e-mail goes to the mail server.
        """
        ref = read_payload(MAIL_JOB, payload)
        email_id, run, fresh_until_s = ref.letter, uuid4().hex, time.monotonic() + FRESH_S
        claimed = await self._emails.claim(email_id, run)
        if claimed is None:
            return
        calls, results = _still_missed(claimed)
        pushed = await self._pushed_since(calls)
        results += [EmailResult(call, AttemptResult(Outcome.PUSH_ACCEPTED)) for call in pushed]
        calls = [call for call in calls if call not in pushed]
        if not calls:
            await self._emails.record_attempt(email_id, run, results)
            return
        count = claimed.count - len(claimed.calls) + len(calls)
        attempt = _Attempt(email_id, run, calls, count, claimed.attempts == 0, fresh_until_s, begun)
        attempted = await self._timed_attempt(attempt)
        if attempted is None:
            return  # another worker has it, or a job tries again
        result, ms = attempted
        results += [EmailResult(call, result, ms) for call in calls]
        wait_s = next_wait_s(claimed, result.outcome)
        if wait_s is None and MEANING[result.outcome].retry:
            metrics.MAIL.add(Outcome.MAIL_GAVE_UP)
            results += [EmailResult(call, AttemptResult(Outcome.MAIL_GAVE_UP)) for call in calls]
        unknown = result.outcome is Outcome.MAIL_UNKNOWN
        await self._emails.record_attempt(email_id, run, results, wait_s, unknown=unknown)

    async def _pushed_since(self, calls: Sequence[QueuedRound]) -> list[QueuedRound]:
        """Return those of the calls that need no e-mail any more: a notice whose push was given up is tried again."""
        if not calls or not self.depends_on_pushes:
            return []
        pushed = await self._emails.were_pushed(calls)
        return [call for call, was_pushed in zip(calls, pushed, strict=True) if was_pushed]

    async def _timed_attempt(self, attempt: "_Attempt") -> tuple[AttemptResult, float] | None:
        """Make an attempt, log it and count it. Returns its result, and how many milliseconds it took.

        None if the e-mail was not sent because the claim is lost.
        """
        began_s = time.monotonic()
        result = await self._attempt(attempt)
        if result is None:
            return None
        ms = round((time.monotonic() - began_s) * 1000, 1)
        # Several webhooks can lead to one e-mail: the log line names each.
        webhooks = sorted({call.webhook for call in attempt.calls if call.webhook})
        log.info(
            "mail", letter=attempt.email_id, webhooks=webhooks, outcome=result.outcome, status=result.status, ms=ms
        )
        metrics.MAIL.add(result.outcome)
        return result, ms

    async def _attempt(self, attempt: "_Attempt") -> AttemptResult | None:
        """Read the user's preferences again, write the e-mail, and send it; None if the claim is lost by then."""
        email_id, calls = attempt.email_id, attempt.calls
        latest = calls[-1]
        user = await self._user(latest)
        contact = self._rules.contact_of(user, latest.recipients[0])
        reason = self._rules.reason_for_no_email(user, latest.recipients[0], latest.started_at, pushed=False)
        if reason is None:
            reason = await self._limits.refusal(email_id, latest, contact.email or "", counts=attempt.first)
        if reason is not None:
            return AttemptResult(reason)
        missed = MissedCalls(email_id, contact, calls, attempt.count)
        # Every exception is caught: a team's own template can raise any, and Python's email package raises more than
        # its documentation says.
        try:
            message = self._builder.build(missed, datetime.now(UTC)).as_bytes()
        except Exception as error:
            log.exception("mail_not_written", letter=email_id, error=type(error).__name__)
            return AttemptResult(Outcome.MAIL_UNWRITTEN, reason=type(error).__name__)
        if not await self._still_claimed(attempt):
            return None
        attempt.begun()
        return await self._sender.send(message, contact.email or "")

    async def _still_claimed(self, attempt: "_Attempt") -> bool:
        """Tell whether the e-mail may still be sent. If its claim is not fresh any more, it is claimed again."""
        if time.monotonic() < attempt.fresh_until_s:
            return True
        return await self._emails.claim(attempt.email_id, attempt.run) is not None

    def _warn_of_unused_address(self) -> None:
        """Log once that an address of Stream's custom data would have been used by earlier versions."""
        if not self._warned:
            self._warned = True
            log.warning(
                "stream_address_not_used", advice=MEANING[Outcome.STREAM_ADDRESS].advice.format(whose="the user's")
            )

    async def _user(self, round_: QueuedRound) -> User:
        recipient = round_.recipients[0]
        users = await until_redis_answers(
            lambda: registry.read_users(self._store, round_.tenant, [recipient.id], round_.caller_id)
        )
        return users.users.get(recipient.id, NO_USER).for_call(recipient, round_.caller_id)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt to send an e-mail."""

    email_id: str
    run: str
    calls: Sequence[QueuedRound]
    count: int
    first: bool
    """Whether no other attempt was made."""
    fresh_until_s: float
    """Until when (monotonic) the claim is fresh."""
    begun: Callable[[], None]


def _still_missed(claimed: ClaimedEmail) -> tuple[list[QueuedRound], list[EmailResult]]:
    """Return the calls to write about, and the results of those that the user has answered or declined since."""
    calls: list[QueuedRound] = []
    results: list[EmailResult] = []
    for document, standing in claimed.calls:
        call, outcome = QueuedRound.model_validate_json(document), REFUSALS.get(standing)
        if outcome in {Outcome.ANSWERED, Outcome.DECLINED, Outcome.REMOVED}:
            results.append(EmailResult(call, AttemptResult(outcome)))
        else:
            calls.append(call)
    return calls, results
