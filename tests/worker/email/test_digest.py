"""When a missed call makes an e-mail, how calls share one, and what becomes of it: real Redis, real SMTP."""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter

import pytest
import redis
from pydantic import SecretStr
from structlog.testing import capture_logs

from bellhop.domain.call import Stamp
from bellhop.domain.email_address import deliverable_address
from bellhop.domain.mailbox import MailboxHashes
from bellhop.domain.outcomes import MEANING, AttemptResult, Outcome
from bellhop.domain.push import PushKind
from bellhop.domain.round import Recipient
from bellhop.domain.unsubscribe_link import UnsubscribeLinks
from bellhop.domain.user import Contact, Preferences, User
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import BUILT_IN
from bellhop.queue.names import MAIL_JOB
from bellhop.sandbox.smtp_server import Fault, SmtpStandIn
from bellhop.store import email_scripts, registry
from bellhop.store.async_client import Store
from bellhop.store.email_scripts import EMAIL_TTL_S
from bellhop.store.keys import call_key, devices_key, round_key, trail_key, unsubscribed_key, user_key
from bellhop.store.scripts import Command
from bellhop.telemetry.turned_away import TURNED_AWAY, TurnedAway, describe
from tests.factories import a_queued_round
from tests.trails import trail_of
from worker.email import digest
from worker.email.digest import EmailDigest
from worker.email.email_limits import EmailLimits
from worker.email.email_policy import GIVE_UP_S, MAX_UNKNOWN, EmailRules
from worker.email.email_store import EmailResult, EmailStore
from worker.email.message import LISTED, MessageBuilder
from worker.providers.smtp import EmailSender, SmtpServer

BEN = "ben@example.com"
LINKS = UnsubscribeLinks("https://calls.example.com", [SecretStr("a-secret-of-no-real-app")])
STAMPS = itertools.count(time.time_ns() // 1000)


def missed(cid="default:1", caller="sara", user="ben", email=BEN, **facts):
    at = next(STAMPS)
    recipients = (Recipient(id=user, name="Ben", email=email),)
    names = {"caller_id": caller, "caller_name": caller.title(), "callers": (caller,)}
    return a_queued_round(cid=cid, started_at=at, deadline=at + 30_000_000, recipients=recipients, **names, **facts)


class EmailWorker:
    """The e-mails of one worker, and the work of RQ and of the worker's queue around them."""

    def __init__(self, store, server, worker="w-1"):
        self.store, self.server, self.worker = store, server, worker

    def mail(
        self,
        policy="unpushed",
        window_s=60,
        timeout_s=5.0,
        templates=None,
        stream_addresses=True,
        per_address=10,
        per_caller=100,
    ):
        sender = EmailSender(
            SmtpServer("127.0.0.1", self.server.port, "none", timeout_s=timeout_s), "calls@example.com"
        )
        builder = MessageBuilder("calls@example.com", "Calls", BUILT_IN, templates or Templates(), LINKS)
        limits = EmailLimits(self.store, LINKS.mailboxes, per_address, per_caller)
        return EmailDigest(
            self.store, self.emails(window_s), sender, builder, limits, EmailRules(policy, stream_addresses)
        )

    def emails(self, window_s=60):
        return EmailStore(self.store, self.worker, window_s)

    async def scheduled(self):
        """The mail jobs that wait, each with the seconds until its time."""
        jobs = await self.store.client.zrange("rq:scheduled:bellhop-mail", 0, -1, withscores=True)
        return {job.decode(): at_s - time.time() for job, at_s in jobs}

    async def jobs(self):
        """Take every mail job, scheduled or queued, due or not: return the payloads."""
        ids = [*await self.scheduled()] + [
            job.decode() for job in await self.store.call("LRANGE", "rq:queue:bellhop-mail", 0, -1)
        ]
        await self.store.call("DEL", "rq:scheduled:bellhop-mail", "rq:queue:bellhop-mail")
        payloads = []
        for job in ids:
            name, _, (payload,), _ = json.loads(await self.store.call("HGET", f"rq:job:{job}", "data"))
            assert name == MAIL_JOB
            payloads.append(payload)
        return payloads

    async def run(self, mail):
        """Run the mail jobs there are."""
        jobs = await self.jobs()
        for payload in jobs:
            await mail.send(payload)
        return len(jobs)

    async def come_due(self):
        """Let the time pass until the waiting e-mails are due."""
        async for key in self.store.client.scan_iter("bellhop:letter:*"):
            if await self.store.call("HGET", key, "state") == b"waiting":
                await self.store.call("HSET", key, "due", 0)

    async def outcomes(self, round_):
        lines = await trail_of(self.store, round_.cid)
        return [line.outcome for line in lines if line.what == "mailed" and line.round == round_.started_at]

    async def stamp(self, round_, mark, at=None):
        await self.store.call("HSET", call_key("default", round_.cid), mark, at or round_.started_at + 1)


@pytest.fixture
async def server():
    async with SmtpStandIn() as server:
        yield server


@pytest.fixture
async def worker(redis_url, server):
    store = Store.from_url(redis_url, timeout_s=20.0)
    for name in ("w-1", "w-2"):
        await store.call("SET", f"bellhop:worker:{name}", "1")
    yield EmailWorker(store, server)
    await store.close()


PLAIN = User()
MUTED = User(preferences=Preferences.model_validate_json('{"mute_until": "2100-01-01T00:00:00Z"}'))
OFF = User(preferences=Preferences(email=False))


@pytest.mark.parametrize(
    ("policy", "person", "email", "pushed", "reason"),
    [
        ("unpushed", PLAIN, BEN, False, None),
        ("unpushed", PLAIN, BEN, True, Outcome.PUSH_ACCEPTED),
        ("always", PLAIN, BEN, False, None),
        ("always", PLAIN, BEN, True, None),
        ("always", OFF, BEN, True, Outcome.MAIL_OFF),
        ("unpushed", OFF, BEN, False, Outcome.MAIL_OFF),
        ("always", MUTED, BEN, False, Outcome.MUTED),
        ("unpushed", PLAIN, "", False, Outcome.NO_ADDRESS),
        ("unpushed", PLAIN, "no address", False, Outcome.NO_ADDRESS),
        # A user token may register any address. This one would be an account of the mail server itself.
        ("unpushed", User(Contact(email="root@localhost")), "", False, Outcome.NO_ADDRESS),
    ],
)
def test_policy_and_preferences_decide(policy, person, email, pushed, reason):
    rules = EmailRules(policy, stream_addresses=True)
    assert rules.reason_for_no_email(person, Recipient(id="ben", email=email), 1, pushed) is reason


def test_the_address_of_the_app_goes_before_the_events():
    person = User(Contact(email="work@example.com"))
    rules = EmailRules(stream_addresses=True)
    assert rules.contact_of(person, Recipient(id="ben", email=BEN)).email == "work@example.com"
    assert rules.contact_of(PLAIN, Recipient(id="ben", email=BEN)).email == BEN
    assert EmailRules().contact_of(PLAIN, Recipient(id="ben", email=BEN)).email is None


async def test_the_reason_for_no_mail_is_on_the_trail(worker):
    mail, pushed, nowhere = worker.mail(), missed("default:1"), missed("default:2", email="nonsense")
    await mail.add_missed_call(pushed, pushed=True)
    await mail.add_missed_call(nowhere, pushed=False)
    assert await worker.outcomes(pushed) == ["push_accepted"]
    assert await worker.outcomes(nowhere) == ["no_address"]
    assert await worker.jobs() == []


async def test_calls_of_one_caller_within_the_window_are_one_mail(worker, server):
    mail = worker.mail()
    rounds = [missed(f"default:{number}") for number in range(3)]
    for round_ in rounds:
        await mail.add_missed_call(round_, pushed=False)
    (wait_s,) = (await worker.scheduled()).values()
    assert 50 < wait_s <= 62
    assert await worker.run(mail) == 1
    (received,) = server.mails(BEN)
    assert received.message["Subject"] == "3 missed calls from Sara"
    assert {tuple(await worker.outcomes(round_)) for round_ in rounds} == {("mail_waiting", "mail_accepted")}


async def test_each_caller_and_each_user_has_a_mail_of_their_own(worker, server):
    mail = worker.mail()
    # Ids may hold what separates them elsewhere.
    for caller, user in (("sara", "ben"), ("tom", "ben"), ("sara", "jane"), ("a:b", "c"), ("a", "b:c")):
        await mail.add_missed_call(missed(f"default:{caller}-{user}", caller, user), pushed=False)
    assert await worker.run(mail) == len(server.received) == 5


async def test_a_call_after_the_window_begins_another_mail(worker, server):
    mail = worker.mail()
    await mail.add_missed_call(missed("default:1"), pushed=False)
    await worker.run(mail)
    await mail.add_missed_call(missed("default:2"), pushed=False)
    await worker.run(mail)
    subjects = [received.message["Subject"] for received in server.mails(BEN)]
    assert subjects == ["Missed call from Sara"] * 2
    assert len({received.message["Message-ID"] for received in server.mails(BEN)}) == 2


async def test_without_a_window_a_mail_goes_at_once(worker):
    await worker.mail(window_s=0).add_missed_call(missed(), pushed=False)
    assert await worker.store.call("LLEN", "rq:queue:bellhop-mail") == 1
    assert await worker.scheduled() == {}


async def test_the_same_notice_run_again_adds_nothing(worker, server):
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    await mail.add_missed_call(round_, pushed=False)
    assert await worker.run(mail) == 0
    (received,) = server.received
    assert received.message["Subject"] == "Missed call from Sara"


async def test_a_notice_for_a_forgotten_round_makes_no_second_mail(worker, server):
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    await worker.store.call("DEL", round_key("default", round_.cid, round_.started_at))
    await mail.add_missed_call(round_, pushed=False)
    assert await worker.run(mail) == 0
    assert len(server.received) == 1


class Dies:
    """A Redis that runs so many commands of a worker. Then the worker is killed."""

    def __init__(self, store, worker, commands):
        self.store, self.worker, self.left = store, worker, commands

    async def script(self, name, keys, args):
        (answer,) = await self.together(Command(name, keys, args))
        return answer

    async def together(self, *commands, in_order=True):
        answers = []
        for command in commands:
            if self.left == 0:
                await self.store.call("DEL", f"bellhop:worker:{self.worker}")
                raise OSError("killed")
            self.left -= 1
            answers += await self.store.together(command)
        return answers


@pytest.mark.parametrize("is_sent_meanwhile", [True, False])
async def test_a_call_is_in_one_mail_wherever_a_worker_dies(worker, server, is_sent_meanwhile):
    """Another call opens the e-mail: after it is sent, only the e-mail itself knows that it had this call."""
    other, mail = EmailWorker(worker.store, server, "w-2"), worker.mail()
    for commands in range(4):
        await worker.store.call("FLUSHDB")
        await worker.store.call("MSET", "bellhop:worker:w-1", "1", "bellhop:worker:w-2", "1")
        server.received.clear()
        await mail.add_missed_call(missed("default:0"), pushed=False)
        round_ = missed("default:1")
        await worker.store.call("HSET", round_key("default", round_.cid, round_.started_at), "facts", "{}")
        with contextlib.suppress(OSError):
            await EmailStore(Dies(worker.store, "w-1", commands), "w-1", 60).add_call(round_, round_.recipients[0])
        if is_sent_meanwhile:
            await other.run(other.mail())
        await other.mail().add_missed_call(round_, pushed=False)
        await other.run(other.mail())
        texts = [str(received.message) for received in server.received]
        assert await other.outcomes(round_) in (["mail_waiting", "mail_accepted"], ["mail_accepted", "mail_waiting"])
        assert len(texts) == (2 if is_sent_meanwhile and commands < 2 else 1), commands


async def test_a_mail_is_sent_wherever_its_worker_dies(worker, server):
    """It is sent twice, with one id, only if the worker dies after the mail server's answer, before it is recorded."""
    other, commands, doubled = EmailWorker(worker.store, server, "w-2"), 0, []
    while True:
        await worker.store.call("FLUSHDB")
        await worker.store.call("MSET", "bellhop:worker:w-1", "1", "bellhop:worker:w-2", "1")
        server.received.clear()
        round_ = missed()
        await other.mail().add_missed_call(round_, pushed=False)
        (payload,) = await other.jobs()
        dying = Dies(worker.store, "w-1", commands)
        with contextlib.suppress(OSError):
            await EmailWorker(dying, server, "w-1").mail().send(payload)
        if dying.left:
            break
        await other.mail().send(payload)
        assert len({received.message["Message-ID"] for received in server.received}) == 1
        doubled.append(len(server.received) == 2)
        outcomes = await other.outcomes(round_)
        assert outcomes[0] == "mail_waiting"
        assert set(outcomes[1:]) == {"mail_accepted"}
        assert await worker.store.call("HGETALL", f"bellhop:letter:{payload['letter']}") == {b"state": b"done"}
        commands += 1
    assert doubled == sorted(doubled[:-1]) + doubled[-1:], "a death before the mail server's answer doubles nothing"
    assert 2 <= doubled.count(True) <= 3, doubled


async def test_a_hundred_calls_are_counted_and_the_latest_listed(worker, server):
    mail = worker.mail()
    for number in range(100):
        await mail.add_missed_call(missed(f"default:{number}", call_name=f"call number {number}"), pushed=False)
    (key,) = [key async for key in worker.store.client.scan_iter("bellhop:letter:*")]
    kept = await worker.store.call("HKEYS", key)
    assert sum(field.startswith(b"c:") for field in kept) == LISTED
    await worker.run(mail)
    (received,) = server.received
    text = received.message.get_body(("plain",)).get_content()
    assert received.message["Subject"] == "100 missed calls from Sara"
    assert "call number 99" in text and "call number 90" in text and "call number 89" not in text
    assert "Earlier calls: 90" in text


@pytest.mark.parametrize(("mark", "word"), [(Stamp.ACCEPTED, "answered"), (Stamp.DECLINED, "declined")])
async def test_a_call_answered_or_declined_since_makes_no_mail(worker, server, mark, word):
    mail, before, after = worker.mail(), missed("default:1"), missed("default:2")
    await worker.stamp(before, mark + "ben")
    await mail.add_missed_call(before, pushed=False)
    assert await worker.outcomes(before) == [word]
    await mail.add_missed_call(after, pushed=False)
    await worker.stamp(after, mark + "ben")
    await worker.run(mail)
    assert await worker.outcomes(after) == ["mail_waiting", word]
    assert server.received == []


@pytest.mark.parametrize("decline_comes_first", [True, False])
async def test_a_phone_that_declines_after_the_cancel_gets_mail(worker, server, decline_comes_first):
    """The phone rejects 300 ms after the cancel; the e-mail is sent five minutes later."""
    mail, round_ = worker.mail(), missed()
    stamps = [("x:sara", 5_000_000), ("d:ben", 5_300_000), ("x:ben", 5_300_000)]
    first, *rest = reversed(stamps) if decline_comes_first else stamps
    await worker.stamp(round_, first[0], round_.started_at + first[1])
    if not decline_comes_first:
        await mail.add_missed_call(round_, pushed=False)
    for mark, after in rest:
        await worker.stamp(round_, mark, round_.started_at + after)
    if decline_comes_first:
        await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    (received,) = server.received
    assert received.message["Subject"] == "Missed call from Sara"


@pytest.mark.parametrize("policy", ["unpushed", "always"])
async def test_a_call_whose_push_arrived_later_is_left_out(worker, server, policy):
    """A notice that a provider throttled is tried again: after a minute, or after half an hour."""
    mail, pushed, other = worker.mail(policy), missed("default:1"), missed("default:2")
    await worker.store.call("HSET", devices_key("default", "ben"), "phone", "{}")
    for call in (pushed, other):
        await mail.add_missed_call(call, pushed=False)
        claim = {f"s:{PushKind.MISSED}:phone": "sent" if call is pushed else "w-1|run|1"}
        await worker.store.call("HSET", round_key("default", call.cid, call.started_at), *claim.popitem())
    await worker.run(mail)
    (email,) = server.received
    assert ("2" in email.message["Subject"]) == (policy == "always")
    assert (await worker.outcomes(pushed))[-1] == ("push_accepted" if policy == "unpushed" else "mail_accepted")
    assert (await worker.outcomes(other))[-1] == "mail_accepted"


async def test_calls_answered_since_are_left_out_of_the_mail(worker, server):
    mail, first, second = worker.mail(), missed("default:1"), missed("default:2")
    await mail.add_missed_call(first, pushed=False)
    await mail.add_missed_call(second, pushed=False)
    await worker.stamp(first, Stamp.ACCEPTED + "ben")
    await worker.run(mail)
    (received,) = server.received
    assert received.message["Subject"] == "Missed call from Sara"


async def test_a_call_that_rang_again_leaves_the_mail_to_that_round(worker):
    mail, first, second = worker.mail(), missed(), missed()
    await worker.store.call("HSET", call_key("default", first.cid), f"r:{second.started_at}", "s-1")
    await worker.store.call("HSET", round_key("default", first.cid, second.started_at), "u:ben", "{}")
    await mail.add_missed_call(first, pushed=False)
    assert await worker.outcomes(first) == ["rung_again"]
    await mail.add_missed_call(second, pushed=False)
    assert await worker.outcomes(second) == ["mail_waiting"]


async def test_mails_switched_off_since_are_not_sent(worker, server):
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await worker.store.script(*registry.switch_mail("default", "ben", on=False))
    await worker.run(mail)
    assert server.received == []
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_off"]


async def test_a_deferred_mail_is_tried_again_later(worker, server):
    mail, round_ = worker.mail(), missed()
    server.script("451 4.7.1 greylisted", stage="RCPT")
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    (wait_s,) = (await worker.scheduled()).values()
    assert 40 < wait_s < 80
    await worker.come_due()
    await worker.run(mail)
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_deferred", "mail_accepted"]
    assert len(server.received) == 1


async def test_a_job_before_its_time_sends_nothing(worker, server):
    """As a job that comes back from a dead worker that had already noted its attempt."""
    mail, round_ = worker.mail(), missed()
    server.script("451 later", "451 later")
    await mail.add_missed_call(round_, pushed=False)
    (payload,) = await worker.jobs()
    await mail.send(payload)
    await mail.send(payload)
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_deferred"]
    assert len(await worker.scheduled()) == 1


async def test_pauses_grow_to_an_hour_and_after_a_day_it_gives_up(worker, server):
    mail, round_, waits = worker.mail(), missed(), []
    await mail.add_missed_call(round_, pushed=False)
    for _ in range(9):
        server.script("451 later")
        await worker.run(mail)
        waits += (await worker.scheduled()).values()
        await worker.come_due()
    assert waits[:6] == sorted(waits[:6])
    assert all(2600 < wait_s < 4600 for wait_s in waits[6:])
    async for key in worker.store.client.scan_iter("bellhop:letter:*"):
        await worker.store.call("HINCRBY", key, "began", -GIVE_UP_S)
    server.script("451 later")
    await worker.run(mail)
    assert (await worker.outcomes(round_))[-2:] == ["mail_deferred", "mail_gave_up"]
    assert await worker.scheduled() == {}


async def test_a_server_that_is_away_is_tried_later(worker, server):
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await server.stop()
    await worker.run(mail)
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_deferred"]
    await server.start()
    await worker.come_due()
    await worker.run(mail)
    assert len(server.received) == 1


async def test_a_servers_text_in_another_encoding_is_accepted(worker):
    """It says in ISO 8859-1 that it took the e-mail: as many in Germany do."""

    async def serve(reader, writer):
        writer.write(b"220 mail\r\n")
        in_message = False
        while line := await reader.readline():
            verb = line[:4].upper()
            if in_message and line != b".\r\n":
                continue
            if in_message:
                writer.write("250 2.0.0 Nachricht für die Zustellung angenommen\r\n".encode("latin-1"))
            else:
                writer.write({b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
            in_message = verb == b"DATA" and not in_message
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        server.port = server.sockets[0].getsockname()[1]
        worker.server = server
        mail, round_ = worker.mail(window_s=0), missed()
        await mail.add_missed_call(round_, pushed=False)
        await worker.run(mail)
        assert await worker.outcomes(round_) == ["mail_waiting", "mail_accepted"]


async def test_a_final_refusal_is_recorded_without_the_address(worker, server):
    mail, round_ = worker.mail(), missed()
    server.script(f"550 5.1.1 <{BEN}>: Recipient address rejected: User unknown: BEN", stage="RCPT")
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    last = (await trail_of(worker.store, round_.cid))[-1]
    assert (last.outcome, last.status) == ("mail_refused", 550)
    assert last.reason == "5.1.1 <address> Recipient address rejected: User unknown: <address>"
    assert await worker.scheduled() == {}


@pytest.mark.parametrize("address", ["a..b@example.com", ".ab@example.com", "ab.@example.com", "'@example.com"])
async def test_an_address_of_the_app_is_used_wherever_its_dots_are(worker, server, address):
    contact = Contact(email=address).model_dump_json()
    await worker.store.call("HSET", user_key("default", "ben"), "contact", contact)
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_accepted"]
    assert server.received[-1].recipients == (address,)
    assert f"To: Ben <{address}>".encode() in server.received[-1].raw


async def test_no_mail_goes_to_an_address_that_python_would_decode(worker, server):
    address = "=?utf-8?b?eA0KQmNjOiBldmVAeC5leGFtcGxl?=@example.com"
    contact = Contact(email=address).model_dump_json()
    await worker.store.call("HSET", user_key("default", "ben"), "contact", contact)
    mail, round_ = worker.mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    assert server.received == []
    assert deliverable_address(address) is None


async def test_an_email_that_cannot_be_written_is_tried_again(worker, server, tmp_path):
    (tmp_path / "missed.txt").write_text("{{ 1 // 0 }}")
    broken, mended, round_ = worker.mail(templates=Templates(tmp_path)), worker.mail(), missed()
    await broken.add_missed_call(round_, pushed=False)
    await worker.run(broken)
    last = (await trail_of(worker.store, round_.cid))[-1]
    assert (last.outcome, last.reason) == ("mail_unwritten", "ZeroDivisionError")
    await worker.come_due()
    await worker.run(mended)
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_unwritten", "mail_accepted"]


async def test_an_email_without_an_answer_is_repeated_with_the_same_id(worker, server):
    mail, round_ = worker.mail(), missed()
    server.script(*[Fault.KEEP_AND_DROP] * (MAX_UNKNOWN + 2))
    await mail.add_missed_call(round_, pushed=False)
    for _ in range(MAX_UNKNOWN + 2):
        await worker.run(mail)
        await worker.come_due()
    assert len(server.received) == MAX_UNKNOWN
    assert len({received.message["Message-ID"] for received in server.received}) == 1
    assert (await worker.outcomes(round_))[1:] == ["mail_unknown"] * MAX_UNKNOWN + ["mail_gave_up"]
    assert "gave no clear answer" in MEANING[Outcome.MAIL_GAVE_UP].sentence, "the user may have it"


async def test_two_runs_of_a_job_at_the_same_time_send_one_mail(worker, server):
    mail, other = worker.mail(), EmailWorker(worker.store, server, "w-2").mail()
    await mail.add_missed_call(missed(), pushed=False)
    (payload,) = await worker.jobs()
    await asyncio.gather(*(digest.send(payload) for digest in (mail, other) * 5))
    assert len(server.received) == 1


async def test_a_worker_takes_an_email_over_only_from_a_dead_worker(worker, server):
    mail, other = worker.mail(), EmailWorker(worker.store, server, "w-2").mail()
    await mail.add_missed_call(missed(), pushed=False)
    (payload,) = await worker.jobs()
    claimed = await worker.emails().claim(payload["letter"], "run")
    assert claimed.count == 1
    await other.send(payload)
    assert server.received == []
    assert len(await worker.scheduled()) == 1, "it looks again when the claim has run out"
    await worker.store.call("DEL", "bellhop:worker:w-1")
    await other.send(payload)
    assert len(server.received) == 1
    await worker.emails().record_attempt(payload["letter"], "run", [])
    await other.send(payload)
    assert len(server.received) == 1


async def test_a_claim_runs_out_while_its_worker_lives(worker, server):
    mail, other = worker.mail(), EmailWorker(worker.store, server, "w-2").mail()
    await mail.add_missed_call(missed(), pushed=False)
    (payload,) = await worker.jobs()
    await worker.emails().claim(payload["letter"], "run")
    await worker.store.call("HSET", f"bellhop:letter:{payload['letter']}", "claim", "w-1|run|1")
    await other.send(payload)
    assert len(server.received) == 1


async def test_a_worker_without_a_lease_sends_no_email(worker, server):
    """It was paused: another worker has its jobs."""
    mail, other, round_ = worker.mail(), EmailWorker(worker.store, server, "w-2").mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    await worker.store.call("DEL", "bellhop:worker:w-1")
    await worker.run(mail)
    assert server.received == []
    ((_, wait_s),) = (await worker.scheduled()).items()
    assert 0 < wait_s <= 3, "it is tried again, in case that nobody else has the job"
    await worker.run(other)
    assert len(server.received) == 1
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_accepted"]


async def test_a_worker_that_stood_still_with_a_claim_sends_nothing(worker, server, redis_url, monkeypatch):
    """It wrote the e-mail when it was paused. Its lease ended, and another worker sent the e-mail."""
    mail, other, round_ = worker.mail(), EmailWorker(worker.store, server, "w-2").mail(), missed()
    await mail.add_missed_call(round_, pushed=False)
    (payload,) = await worker.jobs()
    monkeypatch.setattr(digest, "FRESH_S", 0.0)
    build, others = mail._builder.build, []

    class Pauses:
        def build(self, *args):
            with redis.Redis.from_url(redis_url) as client:
                client.delete("bellhop:worker:w-1")
            others.append(asyncio.create_task(other.send(payload)))
            return build(*args)

    monkeypatch.setattr(mail, "_builder", Pauses())
    await mail.send(payload)
    await asyncio.gather(*others)
    assert len(server.received) == 1
    assert await worker.outcomes(round_) == ["mail_waiting", "mail_accepted"]


async def test_a_worker_that_lost_its_claim_changes_nothing(worker, server):
    mail, other, round_ = worker.mail(), EmailWorker(worker.store, server, "w-2").emails(), missed()
    await mail.add_missed_call(round_, pushed=False)
    (payload,) = await worker.jobs()
    email_id = payload["letter"]
    await worker.emails().claim(email_id, "run-1")
    await worker.store.call("DEL", "bellhop:worker:w-1")
    assert await other.claim(email_id, "run-2") is not None
    for wait_s in (0, None):
        await worker.emails().record_attempt(
            email_id, "run-1", [EmailResult(round_, AttemptResult(Outcome.MAIL_GAVE_UP))], wait_s
        )
    assert await worker.scheduled() == {}
    assert await worker.store.call("HGET", f"bellhop:letter:{email_id}", "state") == b"sending"
    assert await worker.outcomes(round_) == ["mail_waiting"]


@pytest.mark.parametrize("old_first", [True, False])
async def test_calls_join_an_email_of_the_other_version(worker, server, monkeypatch, old_first):
    """Older versions make ids of 32 digits. Both may run side by side."""
    new_id = email_scripts.new_email_id
    for old in (old_first, not old_first):
        with monkeypatch.context() as patch:
            if old:
                patch.setattr(email_scripts, "new_email_id", lambda *args: new_id(*args)[:32])
            await worker.mail().add_missed_call(missed(), pushed=False)
    (payload,) = await worker.jobs()
    assert len(payload["letter"]) == (32 if old_first else 40)
    await worker.mail().send(payload)
    (email,) = server.received
    assert email.message["Message-ID"] == f"<{payload['letter']}@example.com>"
    assert "2" in email.message["Subject"]


async def test_the_content_of_an_email_is_deleted_once_it_is_sent(worker, server):
    mail = worker.mail()
    await mail.add_missed_call(missed(), pushed=False)
    await worker.run(mail)
    (key,) = [key async for key in worker.store.client.scan_iter("bellhop:letter*")]
    assert await worker.store.call("HGETALL", key) == {b"state": b"done"}
    assert 0 < await worker.store.call("TTL", key) <= EMAIL_TTL_S


async def test_an_address_is_in_no_log_line_and_not_on_the_trail(worker, server, capfd):
    mail, round_ = worker.mail(), missed()
    for reply in (f"550 no such user {BEN}", "250 OK"):
        server.script(reply, stage="RCPT")
    await mail.add_missed_call(round_, pushed=False)
    await worker.run(mail)
    output = capfd.readouterr()
    lines = await worker.store.call("LRANGE", trail_key("default", round_.cid), 0, -1)
    assert "mail_refused" in output.out + output.err
    assert BEN not in output.out + output.err + repr(lines)


async def test_an_address_of_stream_is_used_only_if_allowed(worker, server):
    digest, call = worker.mail(stream_addresses=False), missed()
    with capture_logs() as lines:
        await digest.add_missed_call(call, pushed=False)
        await digest.add_missed_call(missed("default:2"), pushed=False)
    assert await worker.outcomes(call) == ["stream_address"]
    assert [line["event"] for line in lines] == ["stream_address_not_used"]
    assert "BELLHOP_MAIL_STREAM_ADDRESSES=true" in lines[0]["advice"]
    await worker.store.call("HSET", user_key("default", "ben"), "contact", json.dumps({"email": BEN}))
    await digest.add_missed_call(missed("default:3"), pushed=False)
    await worker.run(digest)
    assert len(server.mails(BEN)) == 1


async def test_many_users_with_one_address_get_few_emails(worker, server, one_minute):
    digest, victim = worker.mail(per_address=3), "victim@example.com"
    spellings = ["victim@example.com", "Victim@EXAMPLE.com", "victim+1@example.com", "victim+x+y@example.com"]
    calls = [missed(f"default:{n}", f"caller-{n}", f"user-{n}", spellings[n % 4]) for n in range(20)]
    for call in calls:
        await digest.add_missed_call(call, pushed=False)
    assert await worker.run(digest) == 20
    assert sum(len(server.mails(spelling)) for spelling in spellings) == 3
    outcomes = [(await worker.outcomes(call))[-1] for call in calls]
    assert (outcomes.count("mail_accepted"), outcomes.count("mail_address_limit")) == (3, 17)
    assert victim not in str([key async for key in worker.store.client.scan_iter("bellhop:mails-to:*")])


async def test_one_caller_leads_to_few_emails(worker, server, one_minute):
    digest = worker.mail(per_caller=3)
    for number in range(5):
        await digest.add_missed_call(
            missed(f"default:{number}", "sara", f"u-{number}", f"u-{number}@example.com"), pushed=False
        )
    other = missed("default:9", "tom", "u-9", "u-9@example.com")
    await digest.add_missed_call(other, pushed=False)
    await worker.run(digest)
    assert sum(len(server.mails(f"u-{number}@example.com")) for number in (*range(5), 9)) == 4
    assert (await worker.outcomes(other))[-1] == "mail_accepted"
    words = describe(Counter({TurnedAway(*key[0]): count for key, count in TURNED_AWAY._counts.items()}))
    assert any("BELLHOP_MAIL_PER_CALLER_HOUR" in sentence for sentence in words)


async def test_a_caller_at_the_limit_uses_up_no_address(worker, server, one_minute):
    """Otherwise one user could keep all others' missed calls from an address."""
    digest = worker.mail(per_caller=1, per_address=2)
    for number, callee in enumerate(("jane", "ben", "ben", "ben")):
        await digest.add_missed_call(missed(f"default:{number}", "sara", callee, f"{callee}@example.com"), pushed=False)
        await worker.run(digest)
    await digest.add_missed_call(missed("default:9", "tom"), pushed=False)
    await worker.run(digest)
    assert [str(mail.message["Subject"]) for mail in server.mails(BEN)] == ["Missed call from Tom"]


async def test_an_email_that_is_tried_again_counts_once(worker, server, one_minute):
    digest, call = worker.mail(per_address=1), missed()
    server.script("451 later")
    await digest.add_missed_call(call, pushed=False)
    for _ in range(2):
        await worker.run(digest)
        await worker.come_due()
    assert await worker.outcomes(call) == ["mail_waiting", "mail_deferred", "mail_accepted"]


@pytest.mark.parametrize(
    "secrets", [["a-secret-of-no-real-app"], ["a-newer-secret-of-no-app", "a-secret-of-no-real-app"]]
)
async def test_an_unsubscribed_address_gets_no_email_for_any_user(worker, server, secrets):
    old = LINKS.mailboxes.of("default", BEN)[0]
    await worker.store.call("SET", unsubscribed_key(old), 1)
    mailboxes = MailboxHashes([SecretStr(secret) for secret in secrets])
    digest = worker.mail()
    digest._limits = EmailLimits(worker.store, mailboxes, 10, 100)
    call, other = (
        missed(user="ben", email="Ben+calls@example.com"),
        missed("default:2", user="nobody", email="jane@example.com"),
    )
    for each in (call, other):
        await digest.add_missed_call(each, pushed=False)
    await worker.run(digest)
    assert await worker.outcomes(call) == ["mail_waiting", "unsubscribed"]
    assert await worker.outcomes(other) == ["mail_waiting", "mail_accepted"]
    newest = mailboxes.of("default", BEN)[0]
    assert await worker.store.call("EXISTS", unsubscribed_key(newest)) == 1
