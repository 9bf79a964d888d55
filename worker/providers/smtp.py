"""Sends e-mails to the mail server. One call makes one attempt; it returns a result, and never raises for a failure."""

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
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.settings import Settings

log = structlog.get_logger()

ATTEMPT_S = Seconds(200.0)
"""The longest time for one attempt, all its steps together."""
QUIT_S = 2.0
"""How long the server may take to answer QUIT."""
LOGIN_REFUSED = {530, 534, 535, 538}
"""The statuses by which a server refuses our login, not the e-mail (RFC 4954, section 6). The e-mail is tried again
later: an operator has to repair the settings."""
OF_THE_EMAIL = (SMTPRecipientRefused, SMTPDataError)
"""The refusals of an e-mail itself. All others are about the connection, the login or the sender address."""
OF_THE_SENDER = "MAIL FROM"
"""The start of the reason if the server refuses the sender address. It does not know the e-mail yet."""
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
    """For each step. After the e-mail itself, the server has four times as long: without an answer, Bellhop would send
    the e-mail again, and the user may get it twice."""
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
            if handed_over and not 400 <= error.code < 600:  # it may mean that the server has the e-mail
                return AttemptResult(Outcome.MAIL_UNKNOWN, error.code, _without_address(error.message, recipient))
            return self._refused(error, recipient)
        except (
            OSError,
            SMTPException,
            ValueError,
        ) as error:  # connection, TLS, timeout; ValueError: not an SMTP server
            outcome = Outcome.MAIL_UNKNOWN if handed_over else Outcome.MAIL_DEFERRED
            return AttemptResult(outcome, reason=self._reason(error))
        finally:
            with contextlib.suppress(OSError, SMTPException, ValueError):
                await client.quit(timeout=QUIT_S)
            client.close()
        return AttemptResult(Outcome.MAIL_ACCEPTED, reply.code, provider_id=_without_address(reply.message, recipient))

    async def validate(self) -> AttemptResult:
        """Connect, log in and name the sender address. Nothing is sent."""
        client = self._client()
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.connect()
                await client.mail(self._sender)
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
            # Without this argument, aiosmtplib looks up our host name in DNS, and that blocks the event loop.
            local_hostname=self._sender.rpartition("@")[2],
        )

    def _reason(self, error: Exception) -> str:
        if type(error) in {SMTPException, SMTPNotSupported}:  # the server does not support STARTTLS, or no login
            log.error("mail_server_lacks_setting", host=self._server.host, reason=str(error))
            return str(error)
        return type(error.__cause__ or error).__name__

    def _refused(self, error: SMTPResponseException, recipient: str) -> AttemptResult:
        """Return the result of a refusal. It is final only if the server refuses the e-mail itself with a 5xx status.

        After a refusal of our login, our address, the encryption or the connection, the e-mail is tried again.
        """
        reason = _without_address(error.message, recipient)
        login_refused = isinstance(error, SMTPAuthenticationError) or error.code in LOGIN_REFUSED
        if login_refused:
            log.error("mail_server_refused_login", host=self._server.host, status=error.code)
        elif isinstance(error, SMTPSenderRefused):
            reason = f"{OF_THE_SENDER}: {reason}"
            if error.code >= 500:
                log.error("mail_server_refused_sender", host=self._server.host, status=error.code, reason=reason)
        final = error.code >= 500 and isinstance(error, OF_THE_EMAIL) and not login_refused
        outcome = Outcome.MAIL_REFUSED if final else Outcome.MAIL_DEFERRED
        return AttemptResult(outcome, error.code, reason)


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
    """Remove the address, and also its part before the @: servers repeat it, and the trail must not contain it."""
    words = re.sub(r"\S*@\S*", "<address>", " ".join(text.split()))
    local = re.escape(recipient.rpartition("@")[0])
    if not local:
        return words[:LONGEST_REASON]
    return re.sub(rf"(?<!\w){local}(?!\w)", "<address>", words, flags=re.IGNORECASE)[:LONGEST_REASON]
