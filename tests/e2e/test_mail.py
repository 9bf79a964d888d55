"""Missed-call e-mails with real processes: from the webhook to the mail server, and back to the unsubscribe page."""

import asyncio
import re
import secrets
import signal
import time

import pytest
import pytest_asyncio

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.smtp_server import Fault
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.trails import trail_of
from tests.waiting import come_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_S = 60
"""Far longer than anything here takes."""
SETTINGS = {
    "MAIL_WINDOW_S": "1",
    "MAIL_CALL_URL": "https://app.example.com/join/{call_id}",
    "MAIL_CUSTOM_FIELDS": "chat_id",
    "MAIL_STREAM_ADDRESSES": "true",
    "SMTP_TIMEOUT_S": "10",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    async with Installation(tmp_path_factory.mktemp("mail"), SETTINGS, workers=2) as installation:
        yield installation


class Missed:
    """A user of a test's own, and the calls they miss."""

    def __init__(self, installation):
        self.installation, self.user = installation, f"ben-{secrets.token_hex(4)}"
        self.address = f"{self.user}@example.com"

    def event(self, caller="sara-lind", language="en", call=None):
        event = (call or SampleCall(caller, (self.user,))).missed()
        event["members"][0]["user"] |= {"language": language, "custom": {"email": self.address}}
        event["call"]["custom"] |= {"chat_id": "room-42", "secret": "not for e-mails"}
        return event

    async def call(self, **options):
        event = self.event(**options)
        reply = await self.installation.stream.post(event)
        assert reply.status == 200
        return event["call_cid"]

    async def mails(self, count, extra_s=0.0):
        """What they have been sent, once there is so much of it, or `extra_s` later."""
        give_up = time.monotonic() + SOON_S
        while len(self.installation.mail.mails(self.address)) < count and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
        await asyncio.sleep(extra_s)
        return self.installation.mail.mails(self.address)

    async def outcomes(self, cid):
        lines = await trail_of(self.installation.store, cid)
        return [line.outcome for line in lines if line.what == "mailed"]

    async def until(self, cid, outcome):
        give_up = time.monotonic() + SOON_S
        while outcome not in await self.outcomes(cid):
            assert time.monotonic() < give_up, await self.outcomes(cid)
            await asyncio.sleep(0.05)


@pytest.fixture
def ben(installation):
    return Missed(installation)


async def test_a_missed_call_without_a_phone_makes_one_mail(ben):
    cid = await ben.call(language="de-AT")
    await ben.until(cid, "mail_accepted")
    (mail,) = await ben.mails(1, extra_s=1)
    text = mail.message.get_body(("plain",)).get_content()
    assert mail.message["Subject"] == "Verpasster Anruf von Sara Lind"
    assert "Design review" in text
    assert "room-42" in text
    assert "not for e-mails" not in str(mail.message)
    assert f"https://app.example.com/join/{cid.partition(':')[2]}" in text
    assert await ben.outcomes(cid) == ["mail_waiting", "mail_accepted"]


async def test_an_accepted_push_notice_makes_a_mail_unnecessary(ben, installation):
    await installation.register(ben.user, Provider.FCM, Kind.ALERT, f"phone-of-{ben.user}")
    cid = await ben.call()
    await ben.until(cid, "push_accepted")
    assert await ben.mails(0, extra_s=2) == []


async def test_calls_within_the_window_are_one_mail_from_any_worker(tmp_path):
    async with Installation(tmp_path, SETTINGS | {"MAIL_WINDOW_S": "10"}, workers=2) as installation:
        ben = Missed(installation)
        await asyncio.gather(*(ben.call() for _ in range(4)))
        (mail,) = await ben.mails(1, extra_s=2)
        assert mail.message["Subject"] == "4 missed calls from Sara Lind"


async def test_the_link_in_a_mail_stops_the_next(ben, installation):
    await ben.call()
    (mail,) = await ben.mails(1)
    link = re.fullmatch(r"<(.*)>", mail.message["List-Unsubscribe"])[1]
    async with installation.http.get(link) as page:
        assert page.status == 200
        assert "Stop e-mails" in await page.text()
    async with installation.http.post(link, data={"List-Unsubscribe": "One-Click"}) as done:
        assert done.status == 200
    cid = await ben.call(caller="tom-reed")
    await ben.until(cid, "mail_off")
    assert len(await ben.mails(1, extra_s=1.5)) == 1


async def test_a_silent_mail_server_delays_no_ring_and_no_notice(installation):
    people = [Missed(installation) for _ in range(40)]
    installation.mail.script(*[Fault.SILENCE] * 40, stage="MAIL")
    try:
        before = installation.mail.connections
        await asyncio.gather(*(person.call() for person in people))
        await come_true(lambda: installation.mail.connections > before)
        jane, token = f"jane-{secrets.token_hex(4)}", secrets.token_hex(16)
        await installation.register(jane, Provider.FCM, Kind.ALERT, token)
        call = SampleCall("sara-lind", (jane,))
        for event, arrives in ((call.ring(), "call.ring"), (call.ended(), "call.missed")):
            began = time.monotonic()
            await installation.stream.post(event)
            while arrives not in [arrival.type for arrival in installation.arrivals if arrival.token == token]:
                assert time.monotonic() - began < 10
                await asyncio.sleep(0.02)
    finally:
        installation.mail._replies["MAIL"].clear()


async def test_a_killed_worker_loses_no_mail_and_repeats_few(tmp_path):
    async with Installation(tmp_path, SETTINGS | {"SMTP_TIMEOUT_S": "30", "MAIL_WINDOW_S": "4"}) as installation:
        waiting, *others = (Missed(installation) for _ in range(4))
        # One of the others gets to none, one to the first and one to the last step of its handing over.
        installation.mail.script(Fault.SILENCE, stage="MAIL")
        installation.mail.script(Fault.SILENCE, stage="RCPT")
        installation.mail.script(Fault.KEEP_AND_HOLD, stage="DATA")
        for person in others:
            await person.call()
        give_up = time.monotonic() + SOON_S
        while (installation.mail.connections, len(installation.mail.received)) != (3, 1) and time.monotonic() < give_up:
            await asyncio.sleep(0.02)
        cid = await waiting.call()
        await waiting.until(cid, "mail_waiting")
        await asyncio.sleep(0.2)
        installation.stop("worker-1", signal.SIGKILL)
        installation.start("worker", "worker-2")

        give_up = time.monotonic() + SOON_S
        while len(installation.mail.received) < 5 and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        (mail,) = installation.mail.mails(waiting.address)
        assert mail.message["Subject"] == "Missed call from Sara Lind"
        mails = [installation.mail.mails(person.address) for person in others]
        assert sorted(map(len, mails)) == [1, 1, 2]
        assert [len({mail.message["Message-ID"] for mail in repeats}) for repeats in mails] == [1, 1, 1]


async def test_no_address_is_in_any_log(installation):
    logs = "".join(installation.log(name) for name in ("web", "worker-1", "worker-2"))
    assert "mail_accepted" in logs
    assert "@example.com" not in logs.replace("calls@example.com", "")
