"""The table "Scripts that use keys of several homes" in docs/architecture.md names the homes that each script uses."""

import re
from pathlib import Path

import msgspec
import pytest

from bellhop.audience import Audience, Destination
from bellhop.call_index import NewEntry
from bellhop.clock import Micros
from bellhop.domain.announcement import CALLER_TYPES, AnnouncementType, about_ring
from bellhop.domain.phone_report import PhoneEvent
from bellhop.domain.ticket import Ticket
from bellhop.queue.job_payloads import job
from bellhop.queue.names import MAIL_JOB, RING_JOB, TELL_CALLER_JOB
from bellhop.store import (
    call_scripts,
    disabled_phones,
    email_scripts,
    keys,
    limit_scripts,
    migration_scripts,
    outbox_scripts,
    phones,
    queue_scripts,
    registry,
    scripts,
)
from bellhop.store.call_scripts import CallToSettle, EventToTake, FinalStanding, LostAttempt
from bellhop.store.email_scripts import NewEmail, NextTry
from bellhop.store.outbox_scripts import Outbox
from bellhop.store.scripts import Argument, Command
from tests.factories import a_device, a_queued_round, a_round

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
HOMES = {
    "call": (
        "webhook:",
        "call:",
        "round:",
        "rung:",
        "trail:",
        "told:",
        "question:",
        "rings-of:",
        "rings-open:",
        "outbox:",
        "draining:",
        "live:",
    ),
    "user": (
        "devices:",
        "person:",
        "phones:",
        "held-back:",
        "calls-of:",
        "missed:",
        "fetched:",
        "writes:",
        "test-rings:",
        "exports:",
        "rings-by:",
        "rings-to:",
        "mails-by:",
    ),
    "address": ("mails-to:", "unsubscribed:"),
    "token": ("token:",),
    "e-mail": ("letter:", "letter-open:", "mailed:"),
    "queue": ("inflight:", "turns:"),
    "worker": ("worker:", "status:", "buried:"),
    "installation": (
        *(
            "workers",
            "worker-failed",
            "agenda",
            "metrics",
            "unreadable:",
            "turned-away:",
            "foreign-workers",
            "probe:",
            "fetches",
            "questions",
            "missed-seen:",
            "stream-clock:",
            "check-runs",
            "last-check",
            "last-webhook",
            "check:",
            "last-hour:",
            "web-processes",
            "calls:",
            "calls-people:",
            "announced:",
            "dead-letters:",
            "forgotten",
            "erasure",
            "export-runs",
            "unused-data-turn",
            "migration",
            "copied:",
            "{partitions}:",
        ),
        *("brake:", "tokens:", "apns-token:", "console:"),
    ),
}
"""How the keys of each home begin after `bellhop:`. Those that begin with `rq:` are at home in a queue."""
KEY = re.compile(r"\b((?:bellhop|rq):[\w-]+:?)")
FUNCTION = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)


def text_of(arg: Argument) -> str:
    """An argument as text; MessagePack is never valid UTF-8 here, since it begins with the length of a map."""
    try:
        return arg.decode() if isinstance(arg, bytes) else str(arg)
    except UnicodeDecodeError:
        return str(msgspec.msgpack.decode(arg))


def commands_of(steps, *answers):
    """All commands of these steps, if Redis answers so."""
    return [command for commands in [next(steps), *map(steps.send, answers)] for command in commands]


ROUND, QUEUED = a_round("ben"), a_queued_round("ben")
EMAIL = email_scripts.new_email_id(QUEUED, QUEUED.recipients[0])
RING, MAIL = job("ring-1", RING_JOB, QUEUED), job("mail-1", MAIL_JOB)
OUTBOX = Outbox("stream", "default", "default:1")
RINGING = about_ring(AnnouncementType.RINGING, ROUND, "ben", 1)
AUDIENCE = Audience((Destination("stream", TELL_CALLER_JOB, 60, CALLER_TYPES),), live=True)
FINAL = FinalStanding(ROUND, "ben", "missed", "a line", RING, told=AUDIENCE.told_of(RINGING))
COMMANDS = (
    call_scripts.take_event(
        EventToTake(
            *("default", "default:1", "digest", 1, "a line", "a line", 60, 1),
            round=ROUND,
            missed=ROUND,
            jobs=[RING],
            listed=NewEntry("default:1", {"ben": "Ben"}, 1, begins=True).for_tenant(),
        )
    ),
    call_scripts.settle_call(CallToSettle("default", "default:1", 1, 1, [FINAL], None, [1])),
    AUDIENCE.tell(ROUND, [RINGING]),
    call_scripts.enqueue_due(RING, limit=1, again_ms=1, assumed_s=1, most_waiting=1),
    call_scripts.claim_devices(ROUND, "ring", [("ben", "key")], deadline_us=1, worker="w-1", run="r", claim_us=1),
    call_scripts.record_attempt(ROUND, ["a line"], devices=[("key", True)]),
    call_scripts.record_lost_attempts(ROUND, [LostAttempt("ring", "key", "w-1|r|1", "a line")]),
    call_scripts.restore_sent("default", "default:1", 1, "ring", worker="w-1", sent=[("key", "a line")]),
    call_scripts.claim_question("default", "default:1", "s-1", run="r", claim_ms=1),
    limit_scripts.spend_budget(keys.QUESTION_BUDGET, 1),
    call_scripts.record_receipt(Ticket("default", "default:1", 1, "apns", "key"), PhoneEvent.DECLINED, "a line", 1),
    call_scripts.claim_reject("default", "default:1", 1, "ben", worker="w-1", run="r", now=1, claim_us=1),
    call_scripts.record_reject("default", "default:1", 1, "ben", "a line", done=True),
    *commands_of(
        email_scripts.add_missed_call(
            QUEUED, QUEUED.recipients[0], NewEmail(EMAIL, 60, MAIL), whole_calls=1, now=1, line="a line"
        ),
        [b"due"],
        [b"added"],
    ),
    *commands_of(
        email_scripts.claim_email(EMAIL, MAIL, worker="w-1", run="r", claim_s=1, now=1),
        [[b"go", 0, 0, 0, 1, QUEUED.model_dump_json()]],
    ),
    email_scripts.count_email(keys.emails_to_key("hash", 1), EMAIL, 1),
    *commands_of(
        email_scripts.record_email_attempt(
            EMAIL, [], worker="w-1", run="r", next_try=NextTry(1, MAIL), unknown=False, now=1
        ),
        [b"w-1|r|1"],
    )[1:],
    queue_scripts.take_jobs("rings", "w-1", 1),
    queue_scripts.begin_job("rings", "w-1", b"1", alone=False),
    queue_scripts.show_runs("rings", "w-1", [(b"1", b"", 1.0)]),
    queue_scripts.finish_job("rings", "w-1", b"1", b"", keep_s=1, now=1, shown=True),
    queue_scripts.fail_job("rings", "w-1", b"1", b"", verdict="failed", reason="", keep_s=1),
    queue_scripts.hand_back_job("rings", "w-1", b"1", b""),
    queue_scripts.requeue_failed("rings", "1", ""),
    queue_scripts.tend(
        *("w-1", queue_scripts.TendedQueues(["rings"]), {}),
        pid_namespace="here",
        **{"pid": 1, "lease_ms": 1, "silence_ms": 1, "turn_ms": 1, "registration_s": 1, "kept_s": 1},
    ),
    queue_scripts.reap_workers(["rings"], lease_ms=1, silence_ms=1, limit=1),
    queue_scripts.enqueue_scheduled(["rings"], limit=1),
    queue_scripts.remove_worker("w-1", ["rings"], died=True, limit=1),
    queue_scripts.move_jobs("rings", "bellhop-rings", "waiting", 0, limit=1, job_names=[RING_JOB]),
    queue_scripts.take_back_jobs("rings", within_s=1, not_failed_s=1, kept_s=1, counted_s=1, job_names=[RING_JOB]),
    outbox_scripts.drain_outbox(OUTBOX, worker="w-1", run="r", claim_us=1),
    outbox_scripts.fill_outboxes("{}", AUDIENCE.outboxes(RINGING), 1, once="alarm", once_s=1),
    outbox_scripts.put_off_outbox(OUTBOX, RING, worker="w-1", run="r", wait_s=1, now=1, failures=1),
    *next(registry.register("default", a_device()))[:2],
    *next(registry.remove("default", a_device())),
    *next(registry.prune_token("default", a_device(), 1, registry.BrakeLimits())),
    *next(registry.claim_device_lookup("default", "ben", per_s=1, request_s=1, run="r")),
    registry.hold_back("default", "ben", "sara", 1),
    phones.note_receipt("default", "ben", "key", 1, round_started_at=1, event="rang"),
    registry.switch_mail("default", "ben", on=True),
    disabled_phones.switch_phones("default", "ben", [a_device("ben")], disabled_at=Micros(1)),
    registry.stamp_user("default", "ben", {"deactivated": 1}),
    limit_scripts.count_for_caller(ROUND, 1),
    limit_scripts.count_for_call(ROUND, 1, 1, 1),
    migration_scripts.copy_entries(keys.devices_key("default", "ben"), keys.copied_key("0"), "hash", -1, []),
    Command("privacy/replace_entries", [keys.trail_key("default", "default:1")], ["list", "", "", ""]),
    Command("metrics/add_metrics", [keys.METRICS_KEY, keys.flushes_key("1")], []),
    Command("metrics/add_turned_away", [keys.turned_away_key(1_700_000_000)], []),
    Command("providers/replace_provider_token", [keys.provider_token_key("team", "key")], []),
)
"""Each script with its keys; those that it builds by itself are in its text."""


def home_of(key):
    kind, _, rest = key.partition(":")
    if kind == "rq":
        return "queue"
    homes = [home for home, starts in HOMES.items() if rest.startswith(starts)]
    return max(homes, key=lambda home: max(len(start) for start in HOMES[home] if rest.startswith(start)))


def code(name):
    """The text of a script without comments and without the included functions that it does not use."""
    text = re.sub(r"--.*", "", scripts.source(name))
    while unused := [match for match in FUNCTION.finditer(text) if len(re.findall(rf"\b{match[1]}\b", text)) == 1]:
        text = text.replace(unused[0][0], "")
    return text


def homes_of(command):
    texts = [code(command.script), *map(str, command.keys)]
    texts += map(text_of, command.args)
    return {home_of(key) for key in KEY.findall(" ".join(texts))}


def table():
    section = PAGE.read_text().partition("## Scripts that use keys of several homes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| ([^|]+) \|", section, re.MULTILINE)
    return {script: set(homes.strip().split(", ")) for names, homes in rows for script in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.script)
def test_the_table_names_the_homes_of_a_script(command):
    assert table()[command.script.rpartition("/")[2]] == homes_of(command)


def test_the_table_and_this_test_know_every_script():
    names = [name.rpartition("/")[2] for name in scripts.names()]
    assert sorted(command.script for command in COMMANDS) == scripts.names()
    assert sorted(table()) == sorted(names)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.script)
def test_a_script_gets_no_key_as_an_argument(command):
    """A channel is not a key."""
    found = [key for arg in command.args for key in KEY.findall(text_of(arg)) if key != "bellhop:live:"]
    assert not found


def test_every_key_has_one_home():
    constants = [value for name, value in vars(keys).items() if name.isupper() and value != keys.OURS]
    for key in constants:
        assert key.startswith("rq:") or home_of(key)
    starts = [start for of in HOMES.values() for start in of]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.script.startswith("queue/")], ids=lambda c: c.script)
def test_a_script_of_the_queue_uses_no_key_of_users_or_calls(command):
    assert homes_of(command) <= {"queue", "worker", "installation"}
