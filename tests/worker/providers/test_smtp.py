"""One attempt at a real SMTP server, whatever it does."""

import asyncio
import ssl
import time
from email.message import EmailMessage

import pytest

from bellhop.cli.check.mail_server import finding
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.smtp_server import Fault, SmtpStandIn
from bellhop.sandbox.tls import Authority
from bellhop.settings import Settings
from worker.providers.smtp import EmailSender, SmtpServer

BEN = "ben@example.com"
MAIL = {"mail_from": "calls@example.com", "mail_secret": "a long enough secret", "public_url": "https://bellhop.test"}
LOGIN = ("bellhop", "pass word: with “quotes”")


def email():
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "calls@example.com", BEN, "Missed call"
    message.set_content("Sara called.\n.\n..and a dot\n")
    return message


async def send(port, security="none", timeout_s=5.0, login=("", ""), ca_file=None, host="127.0.0.1"):
    server = SmtpServer(host, port, security, *login, timeout_s=timeout_s, ca_file=ca_file)
    return await EmailSender(server, "calls@example.com").send(email().as_bytes(), BEN)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


async def test_an_email_arrives_as_it_was_written():
    async with SmtpStandIn() as server:
        answer = await send(server.port)
        (mail,) = server.received
    assert (answer.outcome, answer.status) == (Outcome.MAIL_ACCEPTED, 250)
    assert (mail.sender, mail.recipients) == ("calls@example.com", (BEN,))
    assert mail.message.get_content().splitlines() == ["Sara called.", ".", "..and a dot"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_it_logs_in_over_an_encrypted_connection(authority, security):
    async with SmtpStandIn(login=LOGIN, **{security: authority.server_context()}) as server:
        answer = await send(server.port, security, login=LOGIN, ca_file=authority.ca_file)
        assert answer.outcome is Outcome.MAIL_ACCEPTED
        (mail,) = server.received
    assert mail.encrypted
    assert mail.user == LOGIN[0]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_untrusted_certificate_gets_no_email_and_no_password(authority, security):
    async with SmtpStandIn(login=LOGIN, **{security: authority.server_context()}) as server:
        answer = await send(server.port, security, login=LOGIN)
        assert server.received == []
    assert answer.outcome is Outcome.MAIL_DEFERRED
    assert "Cert" in answer.reason or "SSL" in answer.reason


async def test_a_certificate_of_another_host_gets_no_email(authority):
    async with SmtpStandIn(tls=authority.server_context()) as server:
        context = ssl.create_default_context(cafile=authority.ca_file)
        assert context.check_hostname
        answer = await send(server.port, "tls", ca_file=authority.ca_file, host="127.0.0.2")
        assert server.received == []
    assert answer.outcome is Outcome.MAIL_DEFERRED


async def test_a_server_without_starttls_gets_no_email_unencrypted():
    async with SmtpStandIn() as server:
        answer = await send(server.port, "starttls", login=LOGIN)
        assert server.received == []
    assert answer.outcome is Outcome.MAIL_DEFERRED
    assert "STARTTLS" in answer.reason


async def test_a_wrong_password_is_logged_and_the_email_waits(authority, capfd):
    async with SmtpStandIn(login=LOGIN, starttls=authority.server_context()) as server:
        answer = await send(server.port, "starttls", login=("bellhop", "wrong"), ca_file=authority.ca_file)
    assert (answer.outcome, answer.status) == (Outcome.MAIL_DEFERRED, 535)
    log = "".join(capfd.readouterr())
    assert "mail_server_refused_login" in log
    assert "wrong" not in log


async def test_a_missing_login_defers_the_email(authority):
    async with SmtpStandIn(login=LOGIN, starttls=authority.server_context()) as server:
        answer = await send(server.port, "starttls", ca_file=authority.ca_file)
    assert (answer.outcome, answer.status) == (Outcome.MAIL_DEFERRED, 530)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("421 4.3.2 shutting down", Outcome.MAIL_DEFERRED),
        ("452 4.2.2 mailbox full", Outcome.MAIL_DEFERRED),
        ("550 5.1.1 no such user", Outcome.MAIL_REFUSED),
        ("554 5.7.1 policy", Outcome.MAIL_REFUSED),
    ],
)
async def test_4xx_defers_an_email_and_5xx_refuses_it(stage, reply, outcome):
    async with SmtpStandIn() as server:
        server.script(reply, stage=stage)
        answer = await send(server.port)
        assert (answer.outcome, answer.status) == (outcome, int(reply[:3]))
        assert answer.reason == reply[4:]
        assert (await send(server.port)).outcome is Outcome.MAIL_ACCEPTED


@pytest.mark.parametrize("reply", ["550 5.7.1 not your address", "552 5.2.2 over quota", "451 4.3.0 try later"])
async def test_a_refused_sender_defers_the_email(reply, capfd):
    """It concerns every e-mail: an operator has to repair the settings or the account."""
    async with SmtpStandIn() as server:
        server.script(reply, stage="MAIL")
        answer = await send(server.port)
        assert (answer.outcome, answer.status) == (Outcome.MAIL_DEFERRED, int(reply[:3]))
        assert answer.reason == f"MAIL FROM: {reply[4:]}"
        assert (await send(server.port)).outcome is Outcome.MAIL_ACCEPTED
    assert ("mail_server_refused_sender" in "".join(capfd.readouterr())) is (answer.status >= 500)


async def test_a_check_tries_the_sender_and_sends_nothing():
    async with SmtpStandIn() as server:
        settings = Settings(smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", **MAIL)
        assert (await finding(settings)).sentence == "accepts the connection and the sender address"
        server.script("553 5.7.1 <calls@example.com> is not yours", stage="MAIL")
        found = await finding(settings)
        assert server.received == []
    assert found.level == "problem"
    assert found.sentence == (
        "the server does not accept e-mails from BELLHOP_MAIL_FROM: check the address and the limits of the account "
        "(553 MAIL FROM: 5.7.1 <address> is not yours)"
    )


@pytest.mark.parametrize("fault", [Fault.SILENCE, Fault.DROP])
@pytest.mark.parametrize(
    ("stage", "outcome"),
    [("MAIL", Outcome.MAIL_DEFERRED), ("RCPT", Outcome.MAIL_DEFERRED), ("DATA", Outcome.MAIL_UNKNOWN)],
)
async def test_only_a_completely_sent_email_may_have_been_accepted(fault, stage, outcome):
    async with SmtpStandIn() as server:
        server.script(fault, stage=stage)
        began = time.monotonic()
        answer = await send(server.port, timeout_s=2.0)
        assert time.monotonic() - began < 30
    assert answer.outcome is outcome


async def test_a_closed_port_defers_the_email():
    assert (await send(free_port())).outcome is Outcome.MAIL_DEFERRED


async def test_an_unknown_host_name_defers_the_email():
    assert (await send(25, host="mail.invalid")).outcome is Outcome.MAIL_DEFERRED


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 5000, b"554 go away\r\n"])
async def test_a_server_that_is_not_smtp_defers_the_email(greeting):
    class Stranger(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(greeting)

    server = await asyncio.get_running_loop().create_server(Stranger, "127.0.0.1", 0)
    async with server:
        answer = await send(server.sockets[0].getsockname()[1], timeout_s=0.3)
    assert answer.outcome is Outcome.MAIL_DEFERRED


async def send_to_server_that_says(reply, *how):
    """Send an e-mail to a server that welcomes us, then gives `reply(command)` to each command."""

    class Replying(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            transport.write(b"220 welcome\r\n")

        def data_received(self, command):
            self.transport.write(reply(command))

    server = await asyncio.get_running_loop().create_server(Replying, "127.0.0.1", 0)
    async with server:
        return await send(server.sockets[0].getsockname()[1], *how)


async def test_a_server_that_refuses_us_defers_the_email():
    answer = await send_to_server_that_says(lambda _: b"554 not to you\r\n")
    assert (answer.outcome, answer.status) == (Outcome.MAIL_DEFERRED, 554)


async def test_a_server_that_cannot_encrypt_now_defers_the_email():
    """Exchange answers this while it has no valid certificate."""

    def reply(command):
        ehlo = command.upper().startswith(b"EHLO")
        return b"250-mail\r\n250 STARTTLS\r\n" if ehlo else b"554 5.7.3 Unable to initialize\r\n"

    answer = await send_to_server_that_says(reply, "starttls")
    assert (answer.outcome, answer.status) == (Outcome.MAIL_DEFERRED, 554)


@pytest.mark.parametrize("reply", ["251 2.0.0 queued", "queued, thank you"])
async def test_an_unusual_reply_to_an_email_refuses_nothing(reply):
    """The server may have taken the e-mail: only 4 and 5 as the first digit refuse it (RFC 5321, section 4.2.1)."""
    async with SmtpStandIn() as server:
        server.script(reply, stage="DATA")
        assert (await send(server.port)).outcome is Outcome.MAIL_UNKNOWN


@pytest.mark.parametrize(
    "words",
    [
        f"5.1.1 <{BEN}>: no such user",
        f"5.1.1 {BEN.upper()} unknown",
        "5.1.1 user 'ben' unknown",
        "5.1.1 Ben@EXAMPLE.com; see https://mail.example.com/?user=ben@example.com",
    ],
)
async def test_a_servers_text_is_kept_without_the_address(words):
    async with SmtpStandIn() as server:
        server.script(f"550 {words}", stage="RCPT")
        reason = (await send(server.port)).reason
    assert reason.startswith("5.1.1")
    assert "ben" not in reason.lower()
