"""Scripts that claim something fail at each of their commands in turn; the run after that does all that is left."""

import itertools
from dataclasses import replace

import pytest
import redis

from bellhop.audience import Audience, Destination
from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.round import Recipient
from bellhop.domain.stamp_history import PastStamp, history_field
from bellhop.domain.ticket import Ticket
from bellhop.queue.job_payloads import CallRef, EmailRef, job
from bellhop.queue.names import MAIL_JOB, NOTICE_JOB, RING_JOB, SETTLE_JOB, TELL_CALLER_JOB
from bellhop.store import call_scripts, email_scripts
from bellhop.store.blocking_client import run_script
from bellhop.store.keys import call_key, lease_key
from bellhop.store.outbox_scripts import Outbox, drain_outbox, put_off_outbox
from bellhop.store.scripts import Command, source
from tests.factories import a_queued_round

FAILS_AT = """
local real, calls = redis, 0
local function failing(name)
  return function(...)
    calls = calls + 1
    if calls == %d then error('an error of this test') end
    return real[name](...)
  end
end
local redis = setmetatable({ call = failing('call'), pcall = failing('pcall') }, { __index = real })
"""
NOW = Micros(1_800_000_000_000_000)
ROUND = a_queued_round(started_at=NOW)
TICKET = Ticket(ROUND.tenant, ROUND.cid, NOW, "apns", "device")
REJECTED = [("x:ben", Micros(NOW + 5)), ("d:ben", Micros(NOW + 5))]


def event(webhook, **changes) -> Command:
    """An event of Stream about ROUND's call."""
    fields = {"line": "taken", "repeated_line": "repeated", "trail_ttl_s": 60, "settle_at": NOW}
    return call_scripts.take_event(call_scripts.EventToTake(ROUND.tenant, ROUND.cid, webhook, NOW, **fields | changes))


RING = event("w-ring", round=ROUND, jobs=[job("ring-1", RING_JOB, ROUND)])
SETTLE = job("settle-1", SETTLE_JOB, CallRef(tenant=ROUND.tenant, cid=ROUND.cid))
EMAIL_ID = email_scripts.new_email_id(ROUND, ROUND.recipients[0])
EMAIL = email_scripts.NewEmail(EMAIL_ID, 60, job(f"mail-{EMAIL_ID}", MAIL_JOB, EmailRef(letter=EMAIL_ID)))
NOTICE = call_scripts.FinalStanding(
    ROUND, "ben", "missed", "settled", job("notice-1", NOTICE_JOB, ROUND), call_scripts.LaterJob(SETTLE, NOW)
)
ADDING = email_scripts.add_missed_call(ROUND, ROUND.recipients[0], EMAIL, whole_calls=5, now=NOW, line="waiting")
next(ADDING)
(ADD_TO_EMAIL,), (RECORD_ADDED,) = ADDING.send([b"due"]), ADDING.send([b"added"])
(CLAIM_EMAIL,) = next(email_scripts.claim_email(EMAIL_ID, EMAIL.job, worker="w-1", run="r-1", claim_s=60, now=NOW))
OUTBOX = Outbox("stream", ROUND.tenant, ROUND.cid)
AUDIENCE = Audience((Destination("stream", TELL_CALLER_JOB, 60, frozenset(AnnouncementType)),))
REACHED = about_ring(AnnouncementType.REACHED, ROUND, "ben", NOW)
ANNOUNCED = replace(NOTICE, told=AUDIENCE.told_of(about_ring(AnnouncementType.ENDED, ROUND, "ben", NOW)))
DRAIN = drain_outbox(OUTBOX, worker="w-1", run="r-1", claim_us=60_000_000)
SCRIPTS = {
    "a ring": ([], RING),
    "a rejection": (
        [RING],
        event(
            "w-rejected",
            stamps=REJECTED,
            history=[(history_field(name, PastStamp(at, "s-1")), at) for name, at in REJECTED],
            settle_open=True,
            jobs=[SETTLE],
            jobs_settle=True,
        ),
    ),
    "a missed call": (
        [RING],
        event(
            "w-missed",
            missed=ROUND.model_copy(update={"recipients": (Recipient(id="jane"),)}),
            jobs=[SETTLE],
            jobs_settle=True,
        ),
    ),
    "a final standing": (
        [RING],
        call_scripts.settle_call(
            call_scripts.CallToSettle(ROUND.tenant, ROUND.cid, 1, NOW, [NOTICE], None, [ROUND.started_at])
        ),
    ),
    "a call of an e-mail": ([RING], ADD_TO_EMAIL),
    "a record that a call is in an e-mail": ([RING, ADD_TO_EMAIL], RECORD_ADDED),
    "an e-mail": ([RING, ADD_TO_EMAIL, RECORD_ADDED], CLAIM_EMAIL),
    "a receipt": ([RING], call_scripts.record_receipt(TICKET, PhoneEvent.RANG, "rang", ROUND.started_at)),
    "an announcement": ([RING], AUDIENCE.tell(ROUND, [REACHED])),
    "a final standing that is announced": (
        [RING],
        call_scripts.settle_call(call_scripts.CallToSettle(ROUND.tenant, ROUND.cid, 1, NOW, [ANNOUNCED])),
    ),
    "the next document of an outbox": (
        [RING, AUDIENCE.tell(ROUND, [REACHED]), DRAIN],
        drain_outbox(OUTBOX, worker="w-1", run="r-1", claim_us=60, done=REACHED.document().encode()),
    ),
    "an outbox that is put off": (
        [RING, AUDIENCE.tell(ROUND, [REACHED]), DRAIN],
        put_off_outbox(OUTBOX, SETTLE, worker="w-1", run="r-1", wait_s=60, now=NOW, failures=1),
    ),
    "a record that Stream was told": (
        [RING],
        call_scripts.record_reject(ROUND.tenant, ROUND.cid, ROUND.started_at, "ben", "told", done=True),
    ),
}
"""What was run before, and the script that fails."""
OF_THE_RUN = {b"version", b"claim", b"began", b"reports:device", b"rejected:ben"}
"""Fields that count runs, or hold their times."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_run_after_an_error_does_all_that_is_left(redis_client, name):
    before, command = SCRIPTS[name]
    start(redis_client, before)
    run_script(redis_client, command)
    expected = everything(redis_client)
    for failing_call in itertools.count(1):
        start(redis_client, before)
        if not fails(redis_client, command, failing_call):
            break
        run_script(redis_client, command)
        assert everything(redis_client) == expected, failing_call
    assert failing_call > 4  # a receipt runs four commands


@pytest.mark.parametrize("name", ["a ring", "a rejection", "a missed call"])
def test_an_error_leaves_the_webhook_unclaimed(redis_client, name):
    before, command = SCRIPTS[name]
    for failing_call in itertools.count(1):
        start(redis_client, before)
        if not fails(redis_client, command, failing_call):
            break
        assert not redis_client.exists(command.keys[0])
        assert run_script(redis_client, command) == b"taken"


def test_a_call_that_was_half_changed_has_a_new_version(redis_client):
    """A script that settles what it read before the error must see that the call has changed."""
    before, command = SCRIPTS["a rejection"]
    start(redis_client, before)
    call = call_key(ROUND.tenant, ROUND.cid)
    fields = redis_client.hgetall(call)
    for failing_call in itertools.count(1):
        start(redis_client, before)
        if not fails(redis_client, command, failing_call):
            break
        now = redis_client.hgetall(call)
        assert now == fields or now[b"version"] != fields[b"version"]


def start(redis_client, before):
    redis_client.flushall()
    redis_client.set(lease_key("w-1"), "1")
    for command in before:
        run_script(redis_client, command)


def fails(redis_client, command: Command, failing_call: int) -> bool:
    text = FAILS_AT % failing_call + source(command.script)
    try:
        redis_client.eval(text, len(command.keys), *command.keys, *command.args)
    except redis.ResponseError as error:
        assert "an error of this test" in str(error)
        return True
    return False


def everything(redis_client) -> dict:
    """Return all that is stored. An id that is on a list twice counts once: a worker drops a job that it knows."""
    found = {}
    for key in redis_client.keys("*"):
        match redis_client.type(key):
            case b"hash":
                found[key] = {
                    name: value for name, value in redis_client.hgetall(key).items() if name not in OF_THE_RUN
                }
            case b"list":
                found[key] = list(dict.fromkeys(redis_client.lrange(key, 0, -1)))
            case b"zset":
                found[key] = redis_client.zrange(key, 0, -1)
            case b"set":
                found[key] = redis_client.smembers(key)
            case _:
                found[key] = redis_client.get(key)
    return {key: (value, redis_client.ttl(key) > 0) for key, value in found.items()}
