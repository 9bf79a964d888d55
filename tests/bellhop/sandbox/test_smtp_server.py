import asyncio
import smtplib
import time
from email.message import EmailMessage

import pytest

from bellhop.sandbox.smtp_server import SmtpStandIn


def letter(subject="You missed a call"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Bellhop <bell@example.com>", "ann@example.com", subject
    message.set_content("Sara called.")
    message.add_alternative("<p>Sara called.</p>", subtype="html")
    return message


async def post(server, message):
    def send():
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            client.send_message(message, "bounces@example.com")

    await asyncio.to_thread(send)


async def test_a_mail_is_kept_as_it_was_sent():
    told = []
    async with SmtpStandIn(on_mail=told.append) as server:
        before = time.time()
        await post(server, letter("Zoë hat angerufen"))
        [mail] = server.mails("ann@example.com")
    assert (mail.sender, mail.recipients) == ("bounces@example.com", ("ann@example.com",))
    assert mail.message["Subject"] == "Zoë hat angerufen"
    assert mail.message.get_body(("plain",)).get_content().splitlines() == ["Sara called."]
    assert "<p>" in mail.message.get_body(("html",)).get_content()
    assert before <= mail.received_at <= time.time()
    assert told == [mail]


async def test_mails_are_found_by_recipient():
    async with SmtpStandIn() as server:
        await post(server, letter())
        assert server.mails("ben@example.com") == []


async def test_a_scripted_refusal_is_given_once():
    async with SmtpStandIn() as server:
        server.script("451 Try again later")
        with pytest.raises(smtplib.SMTPDataError) as refused:
            await post(server, letter())
        assert refused.value.smtp_code == 451
        await post(server, letter())
        assert len(server.received) == 1


async def test_nobody_listens_after_it_stopped():
    async with SmtpStandIn() as server:
        port = server.port
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
