"""Every Redis key of Bellhop, built here and nowhere else. Pure.

A key has a home: one call, one user, one queue, or the whole installation. A script that uses keys of two homes cannot
run on a Redis Cluster; docs/architecture.md lists those scripts. RQ's own keys (rq:…) are named as RQ names them.
"""

import hashlib
import re
from typing import Literal

from bellhop.clock import Micros

Registry = Literal["wip", "finished", "failed", "scheduled"]
"""RQ's names for the sets of jobs that run, have finished, have failed, or wait for their time."""


def start_of(key: str) -> str:
    """Return how all keys of the same kind begin."""
    return ":".join(key.split(":")[:2]) + ":"


OURS = "bellhop:"
"""The start of all keys of Bellhop, except those of RQ's data model."""

# Of a call

CALL_PREFIX = "bellhop:call:"
"""The start of the keys of all calls of all tenants."""
ROUND_PREFIX = "bellhop:round:"
"""The start of the keys of all rounds of all calls."""

RUNG_PREFIX = "bellhop:rung:"
"""The start of the keys with traces of forgotten rounds, of all calls."""


def call_key(tenant: str, cid: str) -> str:
    """A hash: the call's stamps, the start of each of its rounds, the version that settling compares, and when a settle
    job was queued that has not settled the call yet (`settle_job`, unix µs)."""
    return f"{CALL_PREFIX}{tenant}:{cid}"


def round_key(tenant: str, cid: str, started_at: Micros) -> str:
    """A hash: the round's facts and recipients, their outcomes, and what each device was sent."""
    return f"{round_prefix(tenant, cid)}{started_at}"


def claim_field(kind: str, device_key: str) -> str:
    """A field of that hash: the claim of a push of this kind to a device, or that it was sent."""
    return f"s:{kind}:{device_key}"


def round_prefix(tenant: str, cid: str) -> str:
    """The start of the keys of all rounds of a call."""
    return f"{ROUND_PREFIX}{tenant}:{cid}:"


def rung_key(tenant: str, cid: str) -> str:
    """A sorted set: the traces of the call's forgotten rounds (`bellhop.domain.forgetting`)."""
    return f"{RUNG_PREFIX}{tenant}:{cid}"


def trail_key(tenant: str, cid: str) -> str:
    """A list: the call's trail, the oldest line first."""
    return f"bellhop:trail:{tenant}:{cid}"


def told_key(tenant: str, cid: str) -> str:
    """A hash: Stream's time of events of the call that Bellhop did nothing for, by their types."""
    return f"bellhop:told:{tenant}:{cid}"


def webhook_key(webhook: str) -> str:
    """A string that exists while the webhook of this digest is remembered as taken in."""
    return f"bellhop:webhook:{webhook}"


def question_key(tenant: str, cid: str) -> str:
    """A string: which question about the call Stream is being asked, or was asked less than a second ago."""
    return f"bellhop:question:{tenant}:{cid}"


def rings_of_call_key(tenant: str, cid: str, minute: int) -> str:
    """A hash: the rings of the call that began in this minute, and how many people they were for."""
    return f"bellhop:rings-of:{tenant}:{cid}:{minute}"


def open_rings_key(tenant: str, cid: str) -> str:
    """A sorted set: the latest rings of the call, by when their time is over (unix µs)."""
    return f"bellhop:rings-open:{tenant}:{cid}"


def outbox_key(destination: str, tenant: str, subject: str) -> str:
    """A list: the announcements about a call (or a device, or the installation) that wait for a destination, the oldest
    first."""
    return f"bellhop:outbox:{destination}:{tenant}:{subject}"


def draining_key(destination: str, tenant: str, subject: str) -> str:
    """A hash: the job that drains the outbox, the claim of the run that does, and how often its first one failed."""
    return f"bellhop:draining:{destination}:{tenant}:{subject}"


def announced_key(name: str) -> str:
    """A string that exists while a removed device or an alarm is not announced again: it was announced lately."""
    return f"bellhop:announced:{name}"


def dead_letters_key(endpoint: str) -> str:
    """A sorted set: the events that could not be sent to an endpoint of the team's backend, by the time when each was
    given up (unix µs)."""
    return f"bellhop:dead-letters:{endpoint}"


def live_channel(tenant: str, cid: str) -> str:
    """A channel, not a key: the announcements about the call, as they happen."""
    return f"bellhop:live:{tenant}:{cid}"


LIVE_PROBE = "bellhop:live:probe"
"""A channel that is used only to test whether Redis's user may publish and subscribe."""


# Of a user


def rings_by_key(tenant: str, user_id: str, minute: int) -> str:
    """A hash: the rings of this caller that began in this minute, and how many people they were for."""
    return f"bellhop:rings-by:{tenant}:{user_id}:{minute}"


def rings_to_key(tenant: str, user_id: str, minute: int) -> str:
    """A hash: the rings for this callee that began in this minute, and their number."""
    return f"bellhop:rings-to:{tenant}:{user_id}:{minute}"


def devices_key(tenant: str, user_id: str) -> str:
    """A hash: the user's devices as JSON, by device key."""
    return f"bellhop:devices:{tenant}:{user_id}"


def owner_key(tenant: str, device_key: str) -> str:
    """A string: the id of the user who has this push token."""
    return f"bellhop:token:{tenant}:{device_key}"


def user_key(tenant: str, user_id: str) -> str:
    """A hash: the user's contact and preferences as JSON, and times that Stream gives for the user (unix µs)."""
    return f"bellhop:person:{tenant}:{user_id}"


def phones_key(tenant: str, user_id: str) -> str:
    """A hash: what the user's phones reported about themselves as JSON, by device key."""
    return f"bellhop:phones:{tenant}:{user_id}"


def held_back_key(tenant: str, user_id: str) -> str:
    """A hash: of each caller, the stamp of their last ring that the user's quiet hours held back."""
    return f"bellhop:held-back:{tenant}:{user_id}"


def calls_of_user_key(tenant: str, user_id: str) -> str:
    """A sorted set: the calls that the user made or was called in, by when they last began (unix µs)."""
    return f"bellhop:calls-of:{tenant}:{user_id}"


def missed_calls_key(tenant: str, user_id: str) -> str:
    """A sorted set: the missed calls that the user has not seen, by when they last began (unix µs, Stream's time)."""
    return f"bellhop:missed:{tenant}:{user_id}"


def lookup_key(tenant: str, user_id: str) -> str:
    """A string that exists while the user's devices are being looked up at Stream, or were a short while ago."""
    return f"bellhop:fetched:{tenant}:{user_id}"


def writes_key(tenant: str, user_id: str, minute: int) -> str:
    """A counter: the changes that the user made by the API in this minute."""
    return f"bellhop:writes:{tenant}:{user_id}:{minute}"


def test_rings_key(tenant: str, user_id: str, minute: int) -> str:
    """A counter: the test rings of the user's phones that were asked for in this minute."""
    return f"bellhop:test-rings:{tenant}:{user_id}:{minute}"


def exports_key(tenant: str, user_id: str, hour: int) -> str:
    """A counter: the exports that the user asked for in this hour."""
    return f"bellhop:exports:{tenant}:{user_id}:{hour}"


def email_key(email_id: str) -> str:
    """A hash: an e-mail that collects missed calls, waits, or is being sent. Its id ends with the name of its home
    (`bellhop.store.email_scripts.new_email_id`); ids of older versions, 32 digits, do not."""
    return f"bellhop:letter:{email_id}"


def open_email_key(pair: str) -> str:
    """A string: the id of the e-mail that still takes missed calls of this user and caller. `pair` names both."""
    return f"bellhop:letter-open:{hashlib.sha256(pair.encode()).hexdigest()[:32]}"


def email_of_call_key(call: str) -> str:
    """A string: the id of the e-mail that has this missed call of one user. `call` names the round and the user."""
    return f"bellhop:mailed:{hashlib.sha256(call.encode()).hexdigest()[:32]}"


def emails_by_key(tenant: str, caller_id: str, hour_s: int) -> str:
    """A set: the e-mails of this hour about calls of this caller."""
    return f"bellhop:mails-by:{tenant}:{caller_id}:{hour_s}"


# Of an e-mail address, which is hashed with a secret (`bellhop.domain.mailbox`)


def emails_to_key(mailbox_hash: str, hour_s: int) -> str:
    """A set: the e-mails of this hour to this address."""
    return f"bellhop:mails-to:{mailbox_hash}:{hour_s}"


def unsubscribed_key(mailbox_hash: str) -> str:
    """A string that exists if somebody with this address unsubscribed it: 1, or its hashes by all secrets."""
    return f"bellhop:unsubscribed:{mailbox_hash}"


# Of a queue, or of a worker


def inflight_key(queue: str, worker: str) -> str:
    """A list: the ids of the jobs that the worker took from the queue and has not ended."""
    return f"bellhop:inflight:{queue}:{worker}"


def bell_key(queue: str) -> str:
    """A sorted set on each node of a cluster: the partitions where jobs wait in the queue, by since when (unix µs)."""
    return f"bellhop:bell:{queue}"


def lease_key(worker: str) -> str:
    """A string that exists while the worker lives."""
    return f"bellhop:worker:{worker}"


def status_key(worker: str) -> str:
    """A string: the worker's status as JSON."""
    return f"bellhop:status:{worker}"


def neighbours_turn_key(pid_namespace: str) -> str:
    """A string: the pid of the worker that looks after the workers in this pid namespace."""
    return f"bellhop:workers:neighbours:{pid_namespace}"


def death_noticed_key(worker: str) -> str:
    """A string that exists for some seconds after another worker noticed that this one died."""
    return f"bellhop:buried:{worker}"


# RQ's own, named as RQ names them

RQ_PREFIX = "rq:"
"""The start of all keys of RQ."""
RQ_QUEUES = "rq:queues"
"""A set: the keys of all queues."""
RQ_WORKERS = "rq:workers"
"""A set: the keys of all registered workers."""
RQ_SUSPENDED = "rq:suspended"
"""A string that exists while `rq suspend` is in force."""


def rq_queue_key(queue: str) -> str:
    """A list: the ids of the jobs that wait in the queue."""
    return f"rq:queue:{queue}"


def tenant_queue_key(queue: str, tenant: str) -> str:
    """A list, which RQ's tools show as a queue: the jobs of one tenant that wait for their turn in a queue."""
    return f"{rq_queue_key(queue)}:of:{tenant}"


def turns_key(queue: str) -> str:
    """A sorted set: the tenants with such a list, by when a job of theirs was last taken from it (unix µs)."""
    return f"bellhop:turns:{queue}"


def rq_intermediate_key(queue: str) -> str:
    """A list: the jobs that RQ's own worker has taken from the queue and not started yet."""
    return f"{rq_queue_key(queue)}:intermediate"


def rq_job_key(job_id: str) -> str:
    """A hash: a job's data, status and times."""
    return f"rq:job:{job_id}"


def raw_rq_job_key(job_id: bytes) -> bytes:
    """The same, for an id as Redis gives it, which need not be UTF-8."""
    return b"rq:job:" + job_id


def rq_results_key(job_id: str) -> str:
    """A stream: the results of a job's runs."""
    return f"rq:results:{job_id}"


def rq_executions_key(job_id: str) -> str:
    """A sorted set: the runs of a job that are under way."""
    return f"rq:executions:{job_id}"


def rq_execution_key(job_id: str, execution_id: str) -> str:
    """A hash: one run of a job."""
    return f"{RQ_EXECUTION_PREFIX}{job_id}:{execution_id}"


RQ_EXECUTION_PREFIX = "rq:execution:"
"""The start of the keys of all runs of all jobs."""


def rq_registry_key(registry: Registry, queue: str) -> str:
    """A sorted set: the jobs of a queue that are in this registry, by when they leave it."""
    return f"rq:{registry}:{queue}"


def rq_workers_key(queue: str) -> str:
    """A set: the keys of the workers that serve the queue."""
    return f"rq:workers:{queue}"


def rq_worker_key(worker: str) -> str:
    """A hash: a worker as RQ's tools show it."""
    return f"rq:worker:{worker}"


# Of the installation

WORKERS = "bellhop:workers"
"""A set: the names of all workers that have not left or been removed."""
WORKERS_SEEN = "bellhop:workers:seen"
"""A string: when any worker last renewed its lease (unix ms)."""
WORKERS_CALM_SINCE = "bellhop:workers:calm_since"
"""A string: since when no pause of all workers was longer than a lease allows (unix ms)."""
WORKERS_TURN = "bellhop:workers:turn"
"""A string: the worker that does what one worker does for all. It expires after less than a second."""
WORKER_FAILED = "bellhop:worker-failed"
"""A string: why a worker could not start; it expires."""
FOREIGN_WORKERS = "bellhop:foreign-workers"
"""A hash: by `<queue>:<worker>`, how many jobs a worker of another application took, which were then queued again."""
AGENDA = "bellhop:agenda"
"""A sorted set: the calls with open rounds, by when (unix ms) each must be looked at next."""
METRICS_KEY = "bellhop:metrics"
"""A hash: the sums of all metrics, by the name and labels of the sample as JSON."""
PROBE_FROM = "bellhop:probe:never"
PROBE_TO = "bellhop:probe:absent"
"""Two keys that never exist. A copy from the one to the other tests whether Redis takes writes."""
PARTITION_COUNT = "bellhop:{partitions}:count"
"""A string: the number of partitions on a Redis Cluster. The key has a tag of its own, so that its slot does not depend
on the number."""
WEB_PROCESSES = "bellhop:web-processes"
"""A hash: the web processes that run, with their machines and clocks, as JSON."""
LAST_CHECK = "bellhop:last-check"
"""JSON: what the last `bellhop check` found (bellhop/telemetry/last_check.py)."""
CHECK_RUNS = "bellhop:check-runs"
"""Exists while a check runs that the console has started."""
LAST_WEBHOOK = "bellhop:last-webhook"
"""A hash: by tenant, when its last verified webhook came (unix µs) and its type, as JSON."""
LOOKUP_BUDGET = "bellhop:fetches"
"""A hash: how many device lookups at Stream are left in this second."""

QUESTION_BUDGET = "bellhop:questions"
"""A hash: how many requests for the state of a ring may go to Stream in this second."""

FORGOTTEN = "bellhop:forgotten"
"""A sorted set: who was forgotten in the last day, by keyed hashes (`bellhop.privacy.people`), and when (unix µs). The
last pass over all keys removes them."""
FORGOTTEN_HASH_KEY = "bellhop:forgotten-hash-key"
"""A string: the key of these hashes. It expires two days after somebody was last forgotten."""
FORGOTTEN_LIFTS = "bellhop:forgotten-lifts"
"""A counter: how often a person left FORGOTTEN. If it changes, a pass that runs asks again whom to look for."""
ERASURES = "bellhop:erasures"
"""A sorted set: the forgotten people whose data must be looked for again, by when (unix µs)."""
ERASURE_TURN = "bellhop:erasure-turn"
"""A string: the worker that looks for the data of forgotten people; it expires."""
UNUSED_DATA_TURN = "bellhop:unused-data-turn"
"""A string: the worker that removed unused data last; it expires after a day."""
MIGRATION = "bellhop:migration"
"""A hash: from where `bellhop migrate` copies into this Redis, when it last did, and the key of its digests."""
EXPORT_RUNS = "bellhop:export-runs"
"""Exists while the HTTP API reads all that is kept of a person."""


def copied_key(name: str) -> str:
    """A hash: digests of what `bellhop migrate` copied of a key, whose keyed digest is `name`. It is beside it."""
    return f"bellhop:copied:{name}"


def check_key(webhook_id: str) -> str:
    """A string that `bellhop check` writes for a minute. If the web process finds it, both use the same Redis."""
    return f"bellhop:check:{webhook_id}"


def stream_clock_key(tenant: str) -> str:
    """A hash: how far Redis's clock is ahead of the clock of this Stream app, and from what that was learned."""
    return f"bellhop:stream-clock:{tenant}"


def missed_seen_key(tenant: str) -> str:
    """A string that exists for a day after a call.missed of this Stream app."""
    return f"bellhop:missed-seen:{tenant}"


def flushes_key(process: str) -> str:
    """A string: the number of the last flush of metrics of this process that was counted."""
    return f"{METRICS_KEY}:{process}"


def unreadable_key(tenant: str, reason: str) -> str:
    """A list: verified webhooks of this app that could not be read for this reason, the latest first."""
    return f"bellhop:unreadable:{tenant}:{re.sub(r'[^a-z0-9._]+', '-', reason.lower())[:80]}"


def turned_away_key(slot_s: int) -> str:
    """A hash: what was turned away in the ten minutes from `slot_s` (unix s) on, by reason, app and address as JSON."""
    return f"bellhop:turned-away:{slot_s}"


def last_hour_key(slot_s: int) -> str:
    """A hash: rings of the ten minutes from `slot_s` (unix s) on, and the outcomes of the pushes for them."""
    return f"bellhop:last-hour:{slot_s}"


def calls_key(tenant: str) -> str:
    """A sorted set: the tenant's calls, by when they last began (unix µs)."""
    return f"bellhop:calls:{tenant}"


def people_of_calls_key(tenant: str) -> str:
    """A list: of each of the tenant's latest rings, the call and the ids and names of its people, the latest first."""
    return f"bellhop:calls-people:{tenant}"


def brake_key(provider: str, app: str) -> str:
    """A string that exists while no token of the app is removed; its value is how many died."""
    return f"bellhop:brake:{provider}:{app}"


def token_window_key(what: str, provider: str, app: str, window: int) -> str:
    """What the brake counts in one window: `dying` is a set of tokens, `dying-users` the set of their
    users' keys, `answered` a counter of accepted pushes."""
    return f"bellhop:tokens:{what}:{provider}:{app}:{window}"


def provider_token_key(team_id: str, key_id: str) -> str:
    """A string: the token by which all processes sign in to Apple with this key."""
    return f"bellhop:apns-token:{team_id}:{key_id}"


def console_audit_key(tenant: str) -> str:
    """A sorted set: who looked at whom in the console, and who changed what, by when (unix µs). Without a tenant: what
    concerns the whole installation."""
    return f"bellhop:console-audit:{tenant}"


CONSOLE_LOGINS = "bellhop:console:logins"
"""A sorted set: the digests of the console's logins, by when (unix s) they end."""


def console_attempts_key(address: str) -> str:
    """A counter: the failed logins to the console from this address."""
    return f"bellhop:console:attempts:{address}"


def console_login_key(digest: str) -> str:
    """A string that exists while the console login of this digest is valid."""
    return f"bellhop:console:login:{digest}"
