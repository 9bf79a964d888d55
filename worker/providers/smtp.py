"""Sends an e-mail to the mail server: one attempt per call, and a result. It never raises for what a server does."""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupported,
    SMTPResponseException,
)

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.settings import Settings

log = structlog.get_logger()

ATTEMPT_S = Seconds(200.0)
"""The longest time for one attempt, all its steps together."""
QUIT_S = 2.0
"""The time to say goodbye to the server."""
OPERATORS_CODES = {530, 534, 535, 538}
"""These refuse our login, not the e-mail (RFC 4954, section 6). The e-mail waits until an operator has fixed it."""
LONGEST_REASON = 90
"""Characters kept of a server's text."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server, and how to log in."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    timeout_s: Seconds = Seconds(30.0)
    """For each step. The answer to the whole e-mail gets four times as long: without it, the e-mail is sent again."""
    ca_file: Path | None = None


class EmailSender:
    """Sends e-mails from one address through one server. Each e-mail has its own connection."""

    def __init__(self, server: SmtpServer, sender: str) -> None:
        self._server, self._sender = server, sender
        self._tls = ssl.create_default_context(cafile=server.ca_file) if server.security != "none" else None

    async def send(self, message: bytes, recipient: str) -> AttemptResult:
        """Make exactly one attempt within ATTEMPT_S."""
        client, handed_over = self._client(), False
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.connect()
                await client.mail(self._sender)
                await client.rcpt(recipient)
                handed_over = True
                reply = await client.data(message, timeout=4 * self._server.timeout_s)
        except SMTPResponseException as error:
            return self._refused(error, recipient)
        except (OSError, SMTPException, ValueError) as error:  # connection, TLS, timeout; ValueError: not SMTP
            outcome = Outcome.MAIL_UNKNOWN if handed_over else Outcome.MAIL_DEFERRED
            return AttemptResult(outcome, reason=self._reason(error))
        finally:
            with contextlib.suppress(OSError, SMTPException, ValueError):
                await client.quit(timeout=QUIT_S)
            client.close()
        return AttemptResult(Outcome.MAIL_ACCEPTED, reply.code, provider_id=_without_address(reply.message, recipient))

    async def validate(self) -> AttemptResult:
        """Connect and log in. Nothing is sent."""
        client = self._client()
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.connect()
                await client.quit(timeout=QUIT_S)
        except SMTPResponseException as error:
            return self._refused(error, "")
        except (OSError, SMTPException, ValueError) as error:
            return AttemptResult(Outcome.MAIL_DEFERRED, reason=self._reason(error))
        finally:
            client.close()
        return AttemptResult(Outcome.MAIL_ACCEPTED)

    def _client(self) -> SMTP:
        server = self._server
        return SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user or None,
            password=server.password or None,
            timeout=server.timeout_s,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls,
            # Without it, aiosmtplib asks the DNS resolver, and that blocks the event loop.
            local_hostname=self._sender.rpartition("@")[2],
        )

    def _reason(self, error: Exception) -> str:
        if type(error) in {SMTPException, SMTPNotSupported}:  # its text says what the server lacks: STARTTLS or login
            log.error("mail_server_lacks_setting", host=self._server.host, reason=str(error))
            return str(error)
        return type(error.__cause__ or error).__name__

    def _refused(self, error: SMTPResponseException, recipient: str) -> AttemptResult:
        """A refusal of our login or of the connection is tried again. A refusal of the e-mail is final if it is 5xx."""
        login = isinstance(error, SMTPAuthenticationError) or error.code in OPERATORS_CODES
        if login:
            log.error("mail_server_refused_login", host=self._server.host, status=error.code)
        about_email = not (login or isinstance(error, SMTPConnectResponseError | SMTPHeloError))
        final = error.code >= 500 and about_email
        outcome = Outcome.MAIL_REFUSED if final else Outcome.MAIL_DEFERRED
        return AttemptResult(outcome, error.code, _without_address(error.message, recipient))


def smtp_sender(settings: Settings) -> EmailSender:
    """Make the sender for the mail server of the settings. Raises OSError for a CA file that cannot be loaded."""
    server = SmtpServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else "",
        timeout_s=settings.smtp_timeout_s,
        ca_file=settings.smtp_ca_file,
    )
    return EmailSender(server, settings.mail_from)


def _without_address(text: str, recipient: str) -> str:
    """Remove the address, and the part before its @: servers often repeat it, and the trail must not hold it."""
    words = re.sub(r"\S*@\S*", "<address>", " ".join(text.split()))
    local = re.escape(recipient.rpartition("@")[0])
    if not local:
        return words[:LONGEST_REASON]
    return re.sub(rf"(?<!\w){local}(?!\w)", "<address>", words, flags=re.IGNORECASE)[:LONGEST_REASON]
