"""The state of missed-call e-mails in Redis: which calls an e-mail holds, which run sends it, and what is recorded.

Each change is made in steps (`bellhop/store/email_scripts.py`). Every method waits while Redis is away.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from bellhop import trail
from bellhop.audience import Audience
from bellhop.clock import Micros, Seconds
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.queue import job_payloads
from bellhop.queue.job_payloads import EmailRef, QueuedRound
from bellhop.queue.names import MAIL_JOB
from bellhop.store import email_scripts
from bellhop.store.call_scripts import record_attempt
from bellhop.store.email_scripts import ClaimedEmail
from bellhop.store.job_keys import JobFields, of_tenant
from bellhop.store.keys import claim_field, devices_key, round_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers
from bellhop.store.scripts import Scripts
from bellhop.store.steps import run_steps
from worker.delivery.fence import REFUSALS
from worker.email.message import LISTED
from worker.providers.smtp import ATTEMPT_S

CLAIM_S = Seconds(ATTEMPT_S + 10)
"""How long an e-mail may be claimed for one attempt."""


class EmailResult(NamedTuple):
    """The result of an attempt, or of the decision to make none, for the trail of one call."""

    round: QueuedRound
    result: AttemptResult
    ms: float | None = None
    """How long the attempt took."""


class EmailStore:
    """The e-mails of one worker, in Redis."""

    def __init__(
        self,
        store: Scripts,
        worker: str,
        window_s: int,
        clock: RedisClock | None = None,
        audience: Audience | None = None,
        *,
        in_turn: bool = False,
    ) -> None:
        """An e-mail collects calls for `window_s`. `audience`: the receivers of announcements; None for none.

        `in_turn`: e-mails of several tenants may wait.
        """
        self._in_turn = in_turn
        self._store, self._worker, self._window_s = store, worker, window_s
        self._clock, self._audience = clock or RedisClock(), audience

    async def add_call(self, round_: QueuedRound, recipient: Recipient) -> Outcome | None:
        """Add a missed call to the open e-mail of its user and caller, or to a new one. Returns why it is not due."""
        email_id = email_scripts.new_email_id(round_, recipient)
        email = email_scripts.NewEmail(email_id, self._window_s, self._job_in_turn(round_.tenant, email_id))
        now = self._clock.now()
        line = _line(EmailResult(round_, AttemptResult(Outcome.MAIL_WAITING)), now)
        add = partial(email_scripts.add_missed_call, whole_calls=LISTED, now=now, line=line)
        answer = await until_redis_answers(lambda: run_steps(add(round_, recipient, email), self._store))
        return REFUSALS.get(answer)

    async def record_no_email(self, round_: QueuedRound, reason: Outcome) -> None:
        """Put on the trail why a missed call makes no e-mail."""
        line = _line(EmailResult(round_, AttemptResult(reason)), self._clock.now())
        command = record_attempt(round_, [line])
        await until_redis_answers(lambda: self._store.script(*command))

    async def were_pushed(self, calls: Sequence[QueuedRound]) -> list[bool]:
        """Tell of each of these calls of one user whether a provider has accepted the notice for one of their devices.

        It is not known any more of a call that Redis has forgotten.
        """
        user_devices = devices_key(calls[0].tenant, calls[0].recipients[0].id)
        (devices,) = await until_redis_answers(lambda: self._store.together(("HKEYS", user_devices)))
        if not devices:
            return [False] * len(calls)
        claims = [claim_field(PushKind.MISSED, device.decode()) for device in devices]
        reads = [("HMGET", round_key(call.tenant, call.cid, call.started_at), *claims) for call in calls]
        found = await until_redis_answers(lambda: self._store.together(*reads, in_order=False))
        return [b"sent" in of_call for of_call in found]

    async def claim(self, email_id: str, run: str) -> ClaimedEmail | None:
        """Claim an e-mail; None if it may not be sent now: it is done, claimed, or another job will send it later."""
        claim = partial(email_scripts.claim_email, worker=self._worker, run=run, claim_s=CLAIM_S, now=self._clock.now())
        return await until_redis_answers(lambda: run_steps(claim(email_id, _job(email_id, run)), self._store))

    async def record_attempt(
        self,
        email_id: str,
        run: str,
        results: Iterable[EmailResult],
        wait_s: Seconds | None = None,
        *,
        unknown: bool = False,
    ) -> None:
        """End the claim: until the next try in `wait_s`, or for good. `unknown`: the attempt may have succeeded."""
        results, now = list(results), self._clock.now()
        # It is announced first: if this worker dies in between, the e-mail is sent again, but announced once.
        for result in results:
            if result.result.outcome is Outcome.MAIL_ACCEPTED:
                await self._announce(result.round, now)
        lines = [(result.round, _line(result, now)) for result in results]
        tenant = results[0].round.tenant if results else ""
        next_try = None if wait_s is None else email_scripts.NextTry(wait_s, self._job_in_turn(tenant, email_id, run))
        record = partial(email_scripts.record_email_attempt, worker=self._worker, run=run, next_try=next_try, now=now)
        await until_redis_answers(lambda: run_steps(record(email_id, lines, unknown=unknown), self._store))

    def _job_in_turn(self, tenant: str, email_id: str, run: str = "") -> JobFields:
        return {**_job(email_id, run), **of_tenant(tenant, in_turn=self._in_turn)}

    async def _announce(self, round_: QueuedRound, now: Micros) -> None:
        user_id = round_.recipients[0].id
        notice = about_ring(AnnouncementType.MISSED_NOTICE, round_, user_id, now, by="email")
        if self._audience and (command := self._audience.tell(round_, [notice])):
            await until_redis_answers(lambda: self._store.script(*command))


def _line(email: EmailResult, now: Micros) -> str:
    round_, result, ms = email
    return trail.encode(
        trail.EmailMilestone(
            at=now,
            round=round_.started_at,
            user=round_.recipients[0].id,
            outcome=result.outcome,
            status=result.status or None,
            reason=result.reason,
            id=result.provider_id,
            ms=ms,
        )
    )


def _job(email_id: str, run: str = "") -> dict[str, str]:
    job_id = f"mail-{email_id}-{run}" if run else f"mail-{email_id}"
    return job_payloads.job(job_id, MAIL_JOB, EmailRef(letter=email_id))
