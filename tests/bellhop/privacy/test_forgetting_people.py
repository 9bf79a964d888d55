"""A forgotten person is in no key and no value of Redis, whatever happened before, meanwhile or later."""

import inspect
import json
import random
import zlib
from functools import partial

import pytest
import redis

from bellhop import console_audit
from bellhop.audience import Audience, Destination
from bellhop.clock import Seconds, micros
from bellhop.console_audit import AuditAction, AuditEntry
from bellhop.dead_letters import DeadLetter, keep_dead_letter, send_again
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.phone import PhoneHealth
from bellhop.domain.user import Preferences
from bellhop.explain.explanation import explain
from bellhop.privacy.forgetting_people import DAY_US, KnownForgotten, erase_due, forget, lift
from bellhop.privacy.key_kinds import KEY_KINDS, kind_of_key
from bellhop.privacy.person_export import OTHER, export
from bellhop.queue.job_payloads import RejectRef, job
from bellhop.queue.names import REJECT_JOB, SEND_EVENTS_JOB
from bellhop.queue.rq_job import inflated
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store import email_scripts, keys, phones, registry
from bellhop.store.blocking_client import run_script, together
from bellhop.store.call_scripts import EventToTake, record_attempt, take_event
from bellhop.store.homes import ALONE
from bellhop.store.keys import ERASURES, FORGOTTEN, round_key, trail_key, user_key
from bellhop.store.limit_scripts import count_for_caller
from bellhop.store.steps import run_blocking
from bellhop.trail import PushSkipped, UserSettled, encode, read_trail
from tests.factories import a_device, a_queued_round, an_iphone, web_settings
from tests.waiting import come_true
from webhook.app import create_app
from webhook.intake.receive import receive
from worker.settle import settle_call

WORD = "q7x4zz"
"""Part of the person's id, name, e-mail address and push tokens, and of nothing else."""
JANE, NAME, EMAIL = f"jane-{WORD}", f"Jané {WORD.upper()} Morel", f"jane.{WORD}@example.com"
APNS_TOKEN = "7e57" * 16
OTHERS = ("ben", "sara", "tom")
REWRITE = ("in_progress", "scheduled")
KINDS = ("ring", "ring", "notification", "missed", "accepted", "rejected", "joined", "ended")


def as_bytes(value):
    """All bytes of what Redis answers, with what RQ deflated inflated."""
    if isinstance(value, dict):
        return b"\n".join(as_bytes(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(as_bytes, value))
    value = value if isinstance(value, bytes) else str(value).encode()
    try:
        return value + b"\n" + inflated(value)
    except ValueError:
        return value


READS = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1),
    b"stream": ("XRANGE", "-", "+"),
}


def everything(client):
    """Each key with all that it holds."""
    names = list(client.scan_iter(count=1000))
    types = together(client, *(("TYPE", name) for name in names))
    commands = [(READS[type_][0], name, *READS[type_][1:]) for name, type_ in zip(names, types, strict=True)]
    return dict(zip(names, map(as_bytes, together(client, *commands)), strict=True))


def traces(client):
    """The keys that name the person, in any form."""
    forms = (WORD.encode(), APNS_TOKEN.encode(), b"Jan\xc3\xa9", b"Jan\\u00e9")
    return sorted(
        key
        for key, value in everything(client).items()
        if any(form.lower() in (key + b"\n" + value).lower() for form in forms)
    )


def described(event):
    """The event with the person's name and address in each user object."""
    if isinstance(event, dict):
        if event.get("id") == JANE:
            event |= {"name": NAME, "custom": {"email": EMAIL}, "language": "fr"}
        for part in event.values():
            described(part)
    elif isinstance(event, list):
        for part in event:
            described(part)
    return event


class History:
    """What happens on one installation."""

    def __init__(self, url, seed):
        self.client = redis.Redis.from_url(url)
        self.random = random.Random(seed)
        settings = web_settings(url, console_password="a long enough password")
        self.context = create_app(settings).extensions["context"]
        self.bodies = []
        self.calls = []

    def run(self, command):
        return run_script(self.client, command)

    def post(self, event, webhook_id=""):
        body = event if isinstance(event, bytes) else json.dumps(described(event)).encode()
        self.bodies.append(body)
        return receive(
            self.context.intake, "default", body, webhook_id or f"{self.random.random()}", self.context.now(), 1
        )

    def happen(self):
        """Let something happen in a new call or an old one."""
        if not self.calls or self.random.random() < 0.5:
            people = self.random.sample([JANE, *OTHERS], self.random.choice((2, 3)))
            name = f"{NAME} & Ben" if JANE in people else ""
            self.calls.append(SampleCall(people[0], tuple(people[1:]), name=name))
            self.post(self.calls[-1].ring())
        call = self.random.choice(self.calls)
        kind = self.random.choice(KINDS)
        someone = self.random.choice((call.caller, *call.members))
        self.post(getattr(call, kind)(*([someone] if kind in ("accepted", "rejected", "joined") else [])))

    def register(self):
        for device in (
            an_iphone(JANE, token=APNS_TOKEN, name=f"{NAME}'s iPhone", registered_at=1),
            a_device(JANE, token=f"token-{WORD}", registered_at=1),
            a_device("ben", registered_at=1),
        ):
            run_blocking(registry.register("default", device), self.client)
        health = PhoneHealth.model_validate({"model": f"{WORD} phone"})
        self.run(phones.note_health("default", JANE, a_device(JANE, token=f"token-{WORD}").key, 1, health))
        self.client.hset(user_key("default", JANE), mapping={"contact": json.dumps({"email": EMAIL}), "revoked": 1})
        wishes = Preferences(always_from=("sara", JANE), never_from=(JANE,))
        self.client.hset(user_key("default", "ben"), "preferences", wishes.model_dump_json())

    def deliver(self):
        """Leave behind what workers write: claims, lines, e-mails, announcements, jobs that failed."""
        for caller, callee in ((JANE, "ben"), ("ben", JANE)):
            number = self.random.randrange(10**6)
            round_ = a_queued_round(
                callee,
                cid=f"default:{number}",
                caller_id=caller,
                caller_name=NAME if caller == JANE else "Ben",
                callers=(caller,),
                recipients=[{"id": callee, "name": NAME, "email": EMAIL} if callee == JANE else {"id": callee}],
                caller_fields={"image": f"https://example.com/{WORD}.png"} if caller == JANE else {},
                custom={"title": f"With {NAME}"},
            )
            line = encode(UserSettled(at=1, round=round_.started_at, user=callee, outcome="missed"))
            ref = RejectRef(tenant="default", cid=round_.cid, started_at=1, deadline=1, user=callee, reason="decline")
            jobs = [job(f"reject-{number}", REJECT_JOB, ref)]
            self.run(
                take_event(
                    EventToTake(
                        "default", round_.cid, f"{number}", self.context.now(), line, "", 60, 1, round=round_, jobs=jobs
                    )
                )
            )
            label = f"{NAME}'s iPhone"
            skipped = PushSkipped(
                at=1, round=round_.started_at, kind="ring", user=callee, outcome="muted", device="d" * 20, label=label
            )
            self.run(record_attempt(round_, [encode(skipped)] if callee == JANE else []))
            email = email_scripts.NewEmail(f"{number}", 60, job(f"mail-{number}", "worker.jobs.mail"))
            adding = email_scripts.add_missed_call(
                round_, round_.recipients[0], email, whole_calls=9, now=self.context.now(), line=line
            )
            run_blocking(adding, self.client)
            self.run(count_for_caller(round_, 1))
            self.run(email_scripts.count_email(keys.emails_by_key("default", caller, 1), f"{number}", 9))
            for key in (keys.writes_key, keys.test_rings_key, keys.exports_key):
                self.client.incr(key("default", callee, 1))
            self.client.set(keys.lookup_key("default", callee), "done", ex=60)
            self.client.zadd(keys.missed_calls_key("default", callee), {round_.cid: 1})
            self.client.hset(keys.rings_to_key("default", callee, 1), mapping={"rings": 1})
            self.run(registry.hold_back("default", callee, caller, 1))
            audience = Audience((Destination("backend", SEND_EVENTS_JOB, 60, frozenset(AnnouncementType)),))
            told = about_ring(AnnouncementType.RINGING, round_, callee, self.context.now())
            self.run(audience.tell(round_, [told]))
            letter = DeadLetter("backend", "default", round_.cid, told.document(), "away", self.context.now())
            together(self.client, *keep_dead_letter(letter, 60))
            again = DeadLetter("backend", "default", f"{round_.cid}-again", told.document(), "away", self.context.now())
            send_again(self.client, audience.destinations[0], again, self.context.now())
            dead = a_device(callee, token=f"dead-{number}", registered_at=1)
            run_blocking(registry.prune_token("default", dead, 1, registry.BrakeLimits()), self.client)
            look = AuditEntry(self.context.now(), "support", "password", AuditAction.PERSON, user=callee)
            together(self.client, *console_audit.keep("default", look))
        self.client.zadd(f"bellhop:rung:default:{self.calls[0].cid}", {f"r:3:s-1:{JANE}": 5, f"a:{JANE}": 5})
        for key in self.client.scan_iter("rq:job:*"):
            data = self.client.hget(key, "data")
            if data and self.random.random() < 0.5:
                self.client.hset(key, "data", zlib.compress(data))
        self.post(json.dumps(described({"type": "call.ring", "user": {"id": JANE}})).encode()[:-1])

    def forget(self):
        person = forget(partial(together, self.client), self.run, "default", JANE)
        self.context.intake.forgotten.read(self.client)
        return person

    def erase(self, after_us=0):
        """Make the pass that is due after this time."""
        for key in (ERASURES, FORGOTTEN):
            for member, at in self.client.zrange(key, 0, -1, withscores=True):
                self.client.zadd(key, {member: at - after_us})
        return run_blocking(erase_due(ALONE), self.client)


@pytest.fixture
def history(redis_url, request):
    return History(redis_url, getattr(request, "param", 1))


@pytest.mark.parametrize("history", range(3), indirect=True)
def test_no_key_and_no_value_names_a_forgotten_person(history):
    history.register()
    for _ in range(12):
        history.happen()
    history.deliver()
    assert len({kind_of_key(key.decode()).start for key in traces(history.client) if kind_of_key(key.decode())}) > 12
    person = history.forget()
    history.erase()
    assert {key: everything(history.client)[key] for key in traces(history.client)} == {}
    # Repeats, late events and new ones that name the person.
    for body in list(history.bodies):
        history.post(body)
    for _ in range(5):
        history.happen()
    for type_ in ("user.deactivated", "user.updated", "call.updated"):
        user = {
            "id": JANE,
            "deactivated_at": "2026-01-02T03:04:05Z",
            "revoke_tokens_issued_before": "2026-01-02T03:04:05Z",
        }
        history.post({"type": type_, "call_cid": "default:1", "created_at": "2026-01-02T03:04:05Z", "user": user})
    assert traces(history.client) == []
    assert not list(history.client.scan_iter("bellhop:person:*:forgotten-*"))
    history.erase(2 * DAY_US)
    assert traces(history.client) == []
    assert history.client.zcard(ERASURES) == 0
    named = [key for key, value in everything(history.client).items() if person.pseudonym.encode() in value]
    assert any(key.startswith(b"bellhop:trail:") for key in named)


async def test_an_append_only_file_that_is_written_anew_has_nobody(own_redis):
    history = History(own_redis.url, 1)
    with history.client as client:
        client.config_set("aof-use-rdb-preamble", "no")  # its texts may be compressed
        history.register()
        history.happen()
        history.deliver()
        history.forget()
        history.erase()
        client.bgrewriteaof()
        await come_true(lambda: not any(client.info("persistence")[f"aof_rewrite_{word}"] for word in REWRITE))
    # The last command of all may still be in the files, behind what was written anew.
    files = {path: path.read_bytes().lower() for path in own_redis.folder.rglob("*") if path.is_file()}
    assert any(b"bellhop:trail" in text for text in files.values())
    assert [path for path, text in files.items() if WORD.encode() in text] == []


def test_others_stay_as_they_are(history):
    run_blocking(registry.register("default", a_device("ben", registered_at=1)), history.client)
    run_blocking(registry.register("default", a_device(JANE.upper(), token="t", registered_at=1)), history.client)
    history.post(SampleCall(JANE.upper(), ("ben", "sara")).ring())
    before = everything(history.client)
    history.forget()
    history.erase()
    after = everything(history.client)
    assert {key: after[key] for key in before if not key.startswith(b"bellhop:calls-people")} == {
        key: value for key, value in before.items() if not key.startswith(b"bellhop:calls-people")
    }


@pytest.mark.parametrize("word", ["ring", "default", "1"])
def test_a_word_of_ours_may_be_the_id_of_a_user(history, word):
    call = SampleCall(word, ("ben",))
    history.post(call.ring())
    person = forget(partial(together, history.client), history.run, "default", word)
    (before,) = trail(history, call)
    history.erase()
    (after,) = trail(history, call)
    assert (before.type, before.callers) == ("call.ring", (word,))
    assert (after.type, after.callers, after.names) == ("call.ring", (person.pseudonym,), ("", *before.names[1:]))
    facts = json.loads(history.client.hget(round_key("default", call.cid, after.round), "facts"))
    assert (facts["tenant"], facts["caller_id"], facts["v"]) == ("default", person.pseudonym, 1)


def trail(history, call):
    return read_trail(history.client.lrange(trail_key("default", call.cid), 0, -1))


async def test_a_ring_ends_for_a_forgotten_callee_alone(history, store, live_workers):
    call = SampleCall("sara", (JANE, "ben"))
    history.post(call.ring())
    person = history.forget()
    history.erase()
    await settle_call(store, "default", call.cid, micros(Seconds(5)))
    settled = [(line.user, line.outcome) for line in trail(history, call) if line.what == "settled"]
    assert settled == [(person.pseudonym, "removed")]
    assert not list(history.client.scan_iter("rq:job:notice-*"))


def test_the_explanation_of_a_call_still_makes_sense(history):
    call = SampleCall(JANE, ("ben", "tom"))
    for event in (call.ring(), call.accepted("ben"), call.ended()):
        history.post(event)
    before = str(explain(call.cid, trail(history, call)))
    person = history.forget()
    history.erase()
    after = str(explain(call.cid, trail(history, call)))
    assert NAME in before
    assert WORD not in after.lower()
    assert len(after) > len(before) / 2
    assert person.pseudonym in after


def test_the_table_has_every_kind_of_key_that_names_a_person(history):
    """What is not in the table is found by this test if it names somebody."""
    history.register()
    for _ in range(5):
        history.happen()
    history.deliver()
    named = traces(history.client)
    assert [key for key in named if kind_of_key(key.decode()) is None] == []
    kinds = {kind_of_key(key.decode()).start: history.client.type(key).decode() for key in named}
    assert kinds == {kind.start: kind.type for kind in KEY_KINDS}, "each of the table is tested"
    assert len({kind.start for kind in KEY_KINDS}) == len(KEY_KINDS)
    document = run_blocking(export("default", JANE, ALONE), history.client)
    exported = {key.key for key in document.keys}
    of_others = {f"bellhop:{kind}:default:ben" for kind in ("person", "held-back")}
    assert of_others <= {key.decode() for key in named}
    assert exported == {key.decode() for key in named} - of_others - {"bellhop:fetches"}
    text = document.model_dump_json()
    assert EMAIL in text
    assert APNS_TOKEN in text


def test_an_export_has_other_peoples_ids_and_no_more(history):
    history.calls.append(SampleCall("ben", (JANE, "sara"), name=f"{NAME} and Benedict Osei"))
    ring = history.calls[0].ring()
    ring["user"] |= {"name": "Benedict Osei", "custom": {"email": "Benedict@example.com"}}
    history.post(ring)
    history.post(json.dumps(ring).encode()[:-1])
    history.register()
    history.deliver()
    blocked = a_queued_round("ben", cid="default:blocked", caller_id=JANE, caller_name=NAME, recipients=[{"id": "ben"}])
    told = about_ring(AnnouncementType.UNREACHABLE, blocked, "ben", history.context.now(), reason="caller_blocked")
    letter = DeadLetter("backend", "default", blocked.cid, told.document(), "away", history.context.now())
    together(history.client, *keep_dead_letter(letter, 60))
    assert b"Benedict" in b"".join(everything(history.client).values())
    text = run_blocking(export("default", JANE, ALONE), history.client).model_dump_json()
    for told_by_others in ("Benedict", "caller_blocked", "never_from", "support", OTHER):
        assert told_by_others not in text
    for own in (NAME, EMAIL, APNS_TOKEN, '"caller_id":"ben"', "default:blocked"):
        assert own in text.replace('\\"', '"').replace('": "', '":"'), own


def test_every_key_of_one_user_is_in_the_table():
    starts = {kind.start for kind in KEY_KINDS}
    for function in (value for value in vars(keys).values() if inspect.isfunction(value)):
        parameters = inspect.signature(function).parameters
        if parameters.keys() & {"user_id", "caller_id"}:
            key = function(*(0 if parameter.annotation is int else "x" for parameter in parameters.values()))
            assert keys.start_of(key) in starts, key


def test_a_process_knows_who_was_forgotten_and_who_is_back(history):
    known = KnownForgotten()
    known.read(history.client)
    assert not known.people
    person = history.forget()
    known.read(history.client)
    assert known.people.of("default")(JANE) == person.pseudonym
    assert known.people.of("default")("ben") == known.people.of("other")(JANE) == ""
    lift(partial(together, history.client), person)
    known.read(history.client)
    assert not known.people
    history.forget()
    for after_us in (0, DAY_US - 1_000_000, 2_000_000):
        known.read(history.client)
        assert known.people
        history.erase(after_us)
    known.read(history.client)
    assert not known.people, "the last pass, after a day, has ended"
