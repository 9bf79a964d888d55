"""Carries one e-mail to the mail server: one attempt, one answer. It never raises for what a server does."""

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

log = structlog.get_logger()

ATTEMPT_S = Seconds(200.0)
"""How long one attempt may take at most, whatever its single steps do."""
QUIT_S = 2.0
OPERATORS_CODES = {530, 534, 535, 538}
"""Refusals that are about our login, not about the e-mail (RFC 4954, section 6): it waits until they are mended."""
LONGEST_REASON = 90


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server, and how to log in."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    timeout_s: Seconds = Seconds(30.0)
    """For each step; four times that for the answer to the whole e-mail, which is the one not to miss."""
    ca_file: Path | None = None


class EmailSender:
    """Sends by one server, in the name of one address. Each e-mail has a connection of its own."""

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
                taken = await client.data(message, timeout=4 * self._server.timeout_s)
        except SMTPResponseException as error:
            return self._refused(error, recipient)
        except (OSError, SMTPException, ValueError) as error:  # connection, TLS, time-out; ValueError: no SMTP at all
            outcome = Outcome.MAIL_UNKNOWN if handed_over else Outcome.MAIL_DEFERRED
            return AttemptResult(outcome, reason=self._reason(error))
        finally:
            with contextlib.suppress(OSError, SMTPException, ValueError):
                await client.quit(timeout=QUIT_S)
            client.close()
        return AttemptResult(Outcome.MAIL_ACCEPTED, taken.code, provider_id=_without_address(taken.message, recipient))

    async def validate(self) -> AttemptResult:
        """Connect and log in, and send nothing."""
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
            # Otherwise it asks the resolver, on the event loop.
            local_hostname=self._sender.rpartition("@")[2],
        )

    def _reason(self, error: Exception) -> str:
        if type(error) in {SMTPException, SMTPNotSupported}:  # the library's own words: no STARTTLS, no login offered
            log.error("mail_server_lacks_setting", host=self._server.host, reason=str(error))
            return str(error)
        return type(error.__cause__ or error).__name__

    def _refused(self, error: SMTPResponseException, recipient: str) -> AttemptResult:
        """Tell what is about us and the server (tried again) from what is about this e-mail (final if 5xx)."""
        ours = isinstance(error, SMTPAuthenticationError) or error.code in OPERATORS_CODES
        if ours:
            log.error("mail_server_refused_login", host=self._server.host, status=error.code)
        early = ours or isinstance(error, SMTPConnectResponseError | SMTPHeloError)
        final = error.code >= 500 and not early
        outcome = Outcome.MAIL_REFUSED if final else Outcome.MAIL_DEFERRED
        return AttemptResult(outcome, error.code, _without_address(error.message, recipient))


def _without_address(text: str, recipient: str) -> str:
    """Make a server's words fit for the trail: they often repeat the address, or the part before its @."""
    words = re.sub(r"\S*@\S*", "<address>", " ".join(text.split()))
    local = re.escape(recipient.rpartition("@")[0])
    if not local:
        return words[:LONGEST_REASON]
    return re.sub(rf"(?<!\w){local}(?!\w)", "<address>", words, flags=re.IGNORECASE)[:LONGEST_REASON]
