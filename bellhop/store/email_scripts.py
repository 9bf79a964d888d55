"""The scripts of missed-call e-mails (lua/email/): the order of keys and arguments, and how to read the answers.

Every function returns a Command to run. An e-mail is one key (`bellhop:letter:<id>`): a hash with its state (`open`,
`sending`, `waiting`, `done`), its claim and its calls.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bellhop import trail
from bellhop.clock import Micros, Seconds, iso
from bellhop.domain.call import CALL_TTL_S
from bellhop.domain.round import Recipient, Round
from bellhop.store.job_keys import add_job
from bellhop.store.keys import (
    CALL_PREFIX,
    ROUND_PREFIX,
    RUNG_PREFIX,
    call_key,
    email_key,
    lease_key,
    open_email_key,
    round_key,
    round_prefix,
    rung_key,
    trail_key,
)
from bellhop.store.scripts import Argument, Command

HOUR_S = 3600
EMAIL_TTL_S = 3 * 24 * 3600
"""Longer than the longest window and all attempts together."""


@dataclass(frozen=True, slots=True)
class NewEmail:
    """The e-mail to begin if none collects calls for this user and caller."""

    id: str
    window_s: int
    """How long it collects calls before it is sent."""
    job: Mapping[str, str]
    """The job that sends it (`bellhop.queue.job_payloads.job`)."""


def add_missed_call(
    round_: Round, recipient: Recipient, email: NewEmail, *, whole_calls: int, now: Micros, line: str
) -> Command:
    """Put a missed call into the open e-mail for this user and caller, or into a new one.

    Only the latest `whole_calls` calls are kept whole; the earlier ones are only counted. The script returns "waiting",
    "already", or why no e-mail is due.
    """
    tenant, cid, started_at = round_.tenant, round_.cid, round_.started_at
    open_email = open_email_key(json.dumps([tenant, recipient.id, round_.caller_id]))
    keys = [call_key(tenant, cid), round_key(tenant, cid, started_at), trail_key(tenant, cid), open_email]
    keys.append(rung_key(tenant, cid))
    args: list[Argument] = [recipient.id, started_at, round_.session_id, json.dumps(round_.callers)]
    args += [round_prefix(tenant, cid), CALL_TTL_S, email.id, email_key(""), round_.model_dump_json()]
    args += [email.window_s, iso(now), json.dumps(add_job(keys, email.job)), EMAIL_TTL_S, whole_calls]
    return Command("email/add_missed_call", keys, [*args, trail.LENGTH, trail.DAY_S, line])


@dataclass(frozen=True, slots=True)
class ClaimedEmail:
    """An e-mail that one run may try to send."""

    attempts: int
    """Attempts before this one."""
    unknown: int
    """Those of them that may have succeeded."""
    age_s: int
    """Seconds since the first attempt."""
    count: int
    """All of its calls, also those that are not kept whole."""
    calls: list[tuple[bytes, str]]
    """Each call as it was added (JSON), the oldest first, and the user's standing in it ("" if it is forgotten)."""


def claim_email(
    email_id: str, job_of_next_try: Mapping[str, str], *, worker: str, run: str, claim_s: Seconds, now: Micros
) -> Command:
    """Claim an e-mail for one attempt.

    If another run holds it, or the worker has no lease, the script queues a job that tries again.
    """
    keys = [email_key(email_id), lease_key(worker), lease_key("")]
    args: list[Argument] = [email_id, worker, run, claim_s, iso(now), json.dumps(add_job(keys, job_of_next_try))]
    return Command("email/claim_email", keys, [*args, CALL_PREFIX, ROUND_PREFIX, RUNG_PREFIX])


def claimed_email(answer: list[Any]) -> ClaimedEmail | None:
    """Read what the script of `claim_email` returns; None if the e-mail may not be sent now."""
    word, *rest = answer
    if word != b"go":
        return None
    attempts, unknown, age_s, count, *calls = rest
    pairs = zip(calls[::2], calls[1::2], strict=True)
    calls_now = [(call, standing.decode()) for call, standing in pairs]
    return ClaimedEmail(attempts, unknown, age_s, count, calls_now)


@dataclass(frozen=True, slots=True)
class NextTry:
    """When an e-mail is tried again, and the job that does it."""

    wait_s: Seconds
    job: Mapping[str, str]


def record_email_attempt(
    email_id: str,
    lines: Iterable[tuple[Round, str]],
    *,
    worker: str,
    run: str,
    next_try: NextTry | None,
    unknown: bool,
    now: Micros,
) -> Command:
    """End this run's claim, for good or until `next_try`, and put each line on the trail of its call.

    `unknown`: the attempt may have succeeded.
    """
    keys = [email_key(email_id)]
    args: list[Argument] = [worker, run]
    if next_try is None:
        args += ["done", EMAIL_TTL_S, 0, int(unknown), iso(now), ""]
    else:
        args += ["later", EMAIL_TTL_S, next_try.wait_s, int(unknown), iso(now)]
        args.append(json.dumps(add_job(keys, next_try.job)))
    args += [trail.LENGTH, trail.DAY_S]
    for round_, line in lines:
        args += [trail_key(round_.tenant, round_.cid), line]
    return Command("email/record_email_attempt", keys, args)


def count_email(key: str, email_id: str, most: int) -> Command:
    """Count an e-mail in the set of one hour at `key`. The script returns 1, or 0 if the set has `most` others."""
    return Command("email/count_email", [key], [email_id, most, 2 * HOUR_S])
