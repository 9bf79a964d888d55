"""A real SMTP server on 127.0.0.1 that keeps the e-mails it gets. Needs the `sandbox` extra.

STARTTLS, TLS and a login can be switched on. On request it fails: it refuses, never answers, or drops the connection.
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
from bellhop.sandbox.child_process import free_port


class Fault(Enum):
    """What the server can do instead of answering."""

    SILENCE = auto()
    DROP = auto()
    """Close the connection."""
    KEEP_AND_DROP = auto()
    """At DATA: keep the message, and close the connection before the answer."""
    KEEP_AND_HOLD = auto()
    """At DATA: keep the message, and never answer."""


Stage = Literal["MAIL", "RCPT", "DATA"]
Reply = str | Fault


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One message that was accepted."""

    sender: str
    """The envelope's sender, to which bounces go. `recipients` are the envelope's too."""
    recipients: tuple[str, ...]
    message: EmailMessage
    received_at: Seconds
    """Unix time in seconds."""
    raw: bytes = b""
    """The bytes of the message as they arrived."""
    encrypted: bool = False
    user: str = ""
    """The user name of the login; empty without a login."""


class SmtpStandIn:
    """An SMTP server in the running event loop. Use it as `async with SmtpStandIn() as server`.

    `starttls` offers and requires STARTTLS. `tls` means TLS from the first byte. `login` is the required user name and
    password.
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
        """The URL to connect to."""
        return f"smtp://127.0.0.1:{self.port}"

    def script(self, *replies: Reply, stage: Stage = "DATA") -> None:
        """Set the answers to the next messages instead of accepting them: for example "451 Try again later"."""
        self._replies[stage].extend(replies)

    def mails(self, recipient: str) -> list[ReceivedMail]:
        """List the e-mails that were accepted for one address."""
        return [mail for mail in self.received if recipient in mail.recipients]

    async def start(self) -> Self:
        """Start to listen."""
        self.port = self.port or free_port()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", self.port, ssl=self._tls)
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
        """Accept a sender. aiosmtpd calls this."""
        if reply := await self._scripted("MAIL", server):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient. aiosmtpd calls this."""
        if reply := await self._scripted("RCPT", server):
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Accept a message. aiosmtpd calls this."""
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
        # The sleep is cancelled when the connection is closed, at the latest when the client gives up.
        await asyncio.sleep(3600)
        return ""

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        login = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=login == self._login, handled=False, auth_data=data)

    def _session(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings():
            # aiosmtpd warns of a login without STARTTLS, although the connection uses TLS from the first byte.
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
