"""A real SMTP server on 127.0.0.1 that keeps what it is sent. Needs the `sandbox` extra."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that was accepted."""

    sender: str
    """The envelope's, as `recipients` are: bounces go there, whatever the headers say."""
    recipients: tuple[str, ...]
    message: EmailMessage
    received_at: float
    """Unix time in seconds."""


class MailServer:
    """An SMTP server in the running event loop. Use it as `async with MailServer() as server`."""

    def __init__(self, *, on_mail: Callable[[Mail], None] | None = None, port: int = 0) -> None:
        self.port = port
        self.received: list[Mail] = []
        self._replies: list[str] = []
        self._on_mail = on_mail
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"smtp://127.0.0.1:{self.port}"

    def script(self, *replies: str) -> None:
        """Answer the next messages with these lines instead of taking them: for example "451 Try again later"."""
        self._replies.extend(replies)

    def mails(self, recipient: str) -> list[Mail]:
        """List what was accepted for one address."""
        return [mail for mail in self.received if recipient in mail.recipients]

    async def start(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Take a message; aiosmtpd calls it."""
        if self._replies:
            return self._replies.pop(0)
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        mail = Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), message, time.time())
        self.received.append(mail)
        if self._on_mail is not None:
            self._on_mail(mail)
        return "250 OK"

    def _session(self) -> SMTP:
        return SMTP(self, hostname="localhost", enable_SMTPUTF8=True)
