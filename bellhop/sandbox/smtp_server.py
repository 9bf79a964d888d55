"""A real SMTP server on 127.0.0.1 that keeps what it is sent. Needs the `sandbox` extra.

It speaks STARTTLS or TLS and asks for a login when told to, and misbehaves on request: refuses, is silent, hangs up.
"""

import asyncio
import ssl
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import Enum, auto
from typing import Any, Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bellhop.clock import Seconds


class Fault(Enum):
    """What a server may do instead of answering."""

    SILENCE = auto()
    DROP = auto()
    """Hang up."""
    KEEP_AND_DROP = auto()
    """At DATA: take the message, and hang up before saying so."""
    KEEP_AND_HOLD = auto()
    """At DATA: take the message, and never say so."""


Stage = Literal["MAIL", "RCPT", "DATA"]
Reply = str | Fault


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One message that was accepted."""

    sender: str
    """The envelope's, as `recipients` are: bounces go there, whatever the headers say."""
    recipients: tuple[str, ...]
    message: EmailMessage
    received_at: Seconds
    """Unix time in seconds."""
    raw: bytes = b""
    """The message as it came over the wire."""
    encrypted: bool = False
    user: str = ""
    """Who was logged in."""


class SmtpStandIn:
    """An SMTP server in the running event loop. Use it as `async with MailServer() as server`.

    `starttls` offers STARTTLS and asks for it; `tls` speaks TLS from the first byte; `login` is the user and password
    to ask for.
    """

    def __init__(
        self,
        *,
        on_mail: Callable[[ReceivedMail], None] | None = None,
        port: int = 0,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.port = port
        self.received: list[ReceivedMail] = []
        self.connections = 0
        self._replies: dict[Stage, list[Reply]] = {"MAIL": [], "RCPT": [], "DATA": []}
        self._on_mail, self._starttls, self._tls, self._login = on_mail, starttls, tls, login
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"smtp://127.0.0.1:{self.port}"

    def script(self, *replies: Reply, stage: Stage = "DATA") -> None:
        """Answer the next messages with these instead of taking them: for example "451 Try again later"."""
        self._replies[stage].extend(replies)

    def mails(self, recipient: str) -> list[ReceivedMail]:
        """List what was accepted for one address."""
        return [mail for mail in self.received if recipient in mail.recipients]

    async def start(self) -> Self:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", self.port, ssl=self._tls)
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

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a sender; aiosmtpd calls it."""
        if reply := await self._scripted("MAIL", server):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient; aiosmtpd calls it."""
        if reply := await self._scripted("RCPT", server):
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Take a message; aiosmtpd calls it."""
        if self._replies["DATA"] and self._replies["DATA"][0] in {Fault.KEEP_AND_DROP, Fault.KEEP_AND_HOLD}:
            self._keep(session, envelope)
        if reply := await self._scripted("DATA", server):
            return reply
        self._keep(session, envelope)
        return "250 OK"

    def _keep(self, session: Session, envelope: Envelope) -> None:
        raw = envelope.original_content or b""
        mail = ReceivedMail(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            message=message_from_bytes(raw, policy=policy.default),
            received_at=Seconds(time.time()),
            raw=raw,
            encrypted=self._tls is not None or session.ssl is not None,
            user=session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else "",
        )
        self.received.append(mail)
        if self._on_mail is not None:
            self._on_mail(mail)

    async def _scripted(self, stage: Stage, server: SMTP) -> str:
        reply = self._replies[stage].pop(0) if self._replies[stage] else ""
        if isinstance(reply, str):
            return reply
        if reply in {Fault.DROP, Fault.KEEP_AND_DROP} and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        # Cancelled when the connection is gone, at the latest when the client gives up.
        await asyncio.sleep(3600)
        return ""

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        login = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=login == self._login, handled=False, auth_data=data)

    def _session(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings():
            # It knows only STARTTLS, and thinks of a login over TLS as one in the clear.
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                self,
                hostname="localhost",
                enable_SMTPUTF8=True,
                tls_context=self._starttls,
                require_starttls=self._starttls is not None,
                authenticator=self._authenticate if self._login else None,
                auth_required=self._login is not None,
                auth_require_tls=self._starttls is not None,
            )
