"""The scripts of missed-call e-mails (lua/email/): the order of keys and arguments, and how to read the answers.

The functions return Commands or Steps to run: an e-mail has a home, and each call in it another. An e-mail is one key
(`bellhop:letter:<id>`): a hash with its state (`open`, `sending`, `waiting`, `done`), its claim and its calls. All
e-mails to a user have the same home, and so have the keys that lead to them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from bellhop import trail
from bellhop.clock import Micros, Seconds, iso
from bellhop.domain.call import CALL_TTL_S
from bellhop.domain.round import Recipient, Round
from bellhop.store.call_scripts import record_attempt
from bellhop.store.homes import name_in_id
from bellhop.store.job_keys import add_job
from bellhop.store.keys import (
    call_key,
    email_key,
    email_of_call_key,
    lease_key,
    open_email_key,
    round_key,
    round_prefix,
    rung_key,
    start_of,
    trail_key,
)
from bellhop.store.scripts import Argument, Command
from bellhop.store.steps import Steps

HOUR_S = 3600
EMAIL_TTL_S = 3 * 24 * 3600
"""Longer than the longest window and all attempts together."""


def new_email_id(round_: Round, recipient: Recipient) -> str:
    """Return the id of the e-mail that a missed call begins; a repeated step makes the same one."""
    names = ["letter", round_.tenant, round_.cid, round_.started_at, recipient.id]
    return uuid5(NAMESPACE_OID, json.dumps(names)).hex + name_in_id(round_.tenant, recipient.id)


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
) -> Steps[str]:
    """Put a missed call into the open e-mail for this user and caller, or into a new one.

    Only the latest `whole_calls` calls are kept whole; the earlier ones are only counted. `line`: for the trail.
    Returns "waiting", "already", or why no e-mail is due.

    The call is read first, and marked last. If a worker dies in between, its job runs again, and finds that the call is
    in the e-mail.
    """
    (answer,) = yield [_check(round_, recipient)]
    if answer != b"due":
        return str(answer.decode())
    (added,) = yield [_add(round_, recipient, email, whole_calls, now)]
    yield [_record_added(round_, recipient, line, before=added == b"already")]
    return "waiting" if added == b"added" else "already"


def _check(round_: Round, recipient: Recipient) -> Command:
    tenant, cid, started_at = round_.tenant, round_.cid, round_.started_at
    keys = [call_key(tenant, cid), round_key(tenant, cid, started_at), rung_key(tenant, cid), round_prefix(tenant, cid)]
    args: list[Argument] = [recipient.id, started_at, round_.session_id, json.dumps(round_.callers), round_.deadline]
    return Command("email/check_missed_call", keys, args)


def _add(round_: Round, recipient: Recipient, email: NewEmail, whole_calls: int, now: Micros) -> Command:
    pair = json.dumps([round_.tenant, recipient.id, round_.caller_id])
    call = json.dumps([round_.tenant, round_.cid, round_.started_at, recipient.id])
    keys = [open_email_key(pair), email_of_call_key(call), email_key(""), email_key(email.id)]
    args: list[Argument] = [email.id, round_.model_dump_json(), email.window_s, iso(now)]
    return Command(
        "email/add_missed_call", keys, [*args, json.dumps(add_job(keys, email.job)), EMAIL_TTL_S, whole_calls]
    )


def _record_added(round_: Round, recipient: Recipient, line: str, *, before: bool) -> Command:
    """`before`: the call was in the e-mail already. Perhaps a worker died before it recorded that."""
    keys = [round_key(round_.tenant, round_.cid, round_.started_at), trail_key(round_.tenant, round_.cid)]
    args: list[Argument] = [recipient.id, "1" if before else "", CALL_TTL_S, trail.LENGTH, trail.DAY_S, line]
    return Command("email/record_missed_call", keys, args)


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
) -> Steps[ClaimedEmail | None]:
    """Claim an e-mail for one attempt, then read where its user stands in each call. None: it may not be sent now.

    If another run holds it, or the worker has no lease, a job that tries again is queued.
    """
    keys = [email_key(email_id), lease_key(worker), lease_key(""), start_of(open_email_key(""))]
    args: list[Argument] = [email_id, worker, run, claim_s, iso(now), json.dumps(add_job(keys, job_of_next_try))]
    ((word, *claimed),) = yield [Command("email/claim_email", keys, args)]
    if word != b"go":
        return None
    attempts, unknown, age_s, count, *calls = claimed
    standings = yield [_read_standing(json.loads(call)) for call in calls]
    pairs = [(call, standing.decode()) for call, standing in zip(calls, standings, strict=True)]
    return ClaimedEmail(attempts, unknown, age_s, count, pairs)


def _read_standing(call: Mapping[str, Any]) -> Command:
    tenant, cid, user_id = call["tenant"], call["cid"], call["recipients"][0]["id"]
    keys = [call_key(tenant, cid), rung_key(tenant, cid), round_prefix(tenant, cid)]
    args = [user_id, call["started_at"], call["session_id"], json.dumps(call["callers"]), call["deadline"]]
    return Command("email/read_standing", keys, args)


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
) -> Steps[None]:
    """Put each line on the trail of its call, and end this run's claim, for good or until `next_try`.

    `unknown`: the attempt may have succeeded. If this run has no claim any more, nothing changes. The lines come first:
    if the worker dies before the claim ends, the e-mail is sent again, and the trail has a line for each attempt.
    """
    (claim,) = yield [("HGET", email_key(email_id), "claim")]
    if claim is None or not claim.startswith(f"{worker}|{run}|".encode()):
        return
    keys = [email_key(email_id)]
    args: list[Argument] = [worker, run]
    if next_try is None:
        args += ["done", EMAIL_TTL_S, 0, int(unknown), iso(now), ""]
    else:
        args += ["later", EMAIL_TTL_S, next_try.wait_s, int(unknown), iso(now)]
        args.append(json.dumps(add_job(keys, next_try.job)))
    on_trails = [record_attempt(round_, [line]) for round_, line in lines]
    yield [*on_trails, Command("email/record_email_attempt", keys, args)]


def count_email(key: str, email_id: str, most: int) -> Command:
    """Count an e-mail in the set of one hour at `key`. The script returns 1, or 0 if the set has `most` others."""
    return Command("email/count_email", [key], [email_id, most, 2 * HOUR_S])
