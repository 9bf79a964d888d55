"""Carries pushes to Apple."""

import asyncio
import math
import ssl
import time
from pathlib import Path

from bellhop.clock import seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes
from bellhop.domain.push import Push
from worker.providers.apns.aioapns_adapter import MAX_STREAMS, ApnsConnection
from worker.providers.apns.apns_answers import read_answer
from worker.providers.apns.apns_pool import ApnsPool
from worker.providers.apns.apns_request import body_of, header_block_of, request_for
from worker.providers.apns.apns_stream import ApnsStream, DelayedError, UnknownError, UnsentError
from worker.providers.apns.provider_token import ProviderToken, SignedToken

PRODUCTION_URL = "https://api.push.apple.com"
SANDBOX_URL = "https://api.sandbox.push.apple.com"
SUSPICIOUS_S = 0.2
"""Without an answer in so long, it is the connection. A push that had less time left says nothing about it."""
AVOID = {Outcome.UNAVAILABLE, Outcome.UNSENT, Outcome.UNKNOWN}
"""After these, a repetition had better take another connection."""


class ApnsSender:
    """A `Sender` for the iOS app with bundle id `topic`: one attempt a call, each answered within its time.

    Authenticates with `token`, which senders for several apps of one team may share, or with a certificate.
    """

    def __init__(
        self,
        topic: str,
        *,
        token: ProviderToken | None = None,
        certificate_file: Path | None = None,
        url: str = PRODUCTION_URL,
        sandbox_url: str = SANDBOX_URL,
        ca_file: Path | None = None,
        proxy: str = "",
        max_connections: int = 2,
    ) -> None:
        """`max_connections` is for each of Apple's two environments.

        Raises ValueError unless exactly one of token and certificate_file is given; OSError for unreadable files.
        """
        if (token is None) == (certificate_file is None):
            raise ValueError("give either a token or a certificate_file")
        self._topic, self._token = topic, token
        self.at_once = max_connections * MAX_STREAMS
        """Pushes it carries at the same time to each environment; those beyond wait for a stream."""
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2"])
        if certificate_file is not None:
            context.load_cert_chain(certificate_file)
        self._pools = {
            Environment.PRODUCTION: ApnsPool(url, context, proxy, max_connections),
            Environment.SANDBOX: ApnsPool(sandbox_url, context, proxy, max_connections),
        }

    async def send(self, push: Push, timeout_s: float, start_s: float = math.inf) -> AttemptResult:
        """Make one attempt. See `bellhop.domain.push.Sender`."""
        not_after = asyncio.get_running_loop().time() + start_s
        request = request_for(push, self._topic)
        body = body_of(request)
        if timeout_s <= 0:
            return AttemptResult(Outcome.UNSENT, reason="no time left")
        if len(body) > most_bytes(Provider.APNS, push.kind):
            return AttemptResult(Outcome.TOO_LARGE, reason=f"{len(body)} bytes")
        pool = self._pools[push.device.environment]
        token: SignedToken | None = None
        connection: ApnsConnection | None = None
        stream: ApnsStream | None = None
        try:
            async with asyncio.timeout(timeout_s):
                token = await self._token.get() if self._token else None
                connection = await pool.pick()
                authorization = token.header if token else ""
                block = header_block_of(request, pool.authority, authorization, int(seconds(push.deadline)))
                stream = connection.request(block, body, not_after)
                answer = read_answer(await stream.future, push.id, time.time())
        except TimeoutError:
            if connection is not None and timeout_s >= SUSPICIOUS_S:
                connection.suspect()
            sent = stream is not None and stream.id
            answer = AttemptResult(Outcome.UNKNOWN if sent else Outcome.UNSENT, reason="no answer in time")
        except DelayedError:
            answer = AttemptResult(Outcome.DELAYED)
        except UnsentError as error:
            answer = AttemptResult(Outcome.UNSENT, reason=str(error))
        except UnknownError as error:
            answer = AttemptResult(Outcome.UNKNOWN, reason=str(error))
        finally:
            if connection is not None and stream is not None:
                connection.release(stream)
        if answer.outcome is not Outcome.ACCEPTED:
            answer = await self._consider(answer, token, connection, pool)
        return answer

    async def warm(self, environment: Environment = Environment.PRODUCTION) -> None:
        """Open a connection ahead of the first push. Raises UnsentError when that fails."""
        await self._pools[environment].warm()

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def _consider(
        self, answer: AttemptResult, token: SignedToken | None, connection: ApnsConnection | None, pool: ApnsPool
    ) -> AttemptResult:
        """Do what an answer asks of the connection or the token it came by."""
        if connection is not None and answer.outcome in AVOID:
            pool.avoid(connection)
        if connection is not None and answer.reason in {"TooManyProviderTokenUpdates", "IdleTimeout", "Shutdown"}:
            connection.retire()
        if answer.reason == "ExpiredProviderToken" and self._token and token and await self._token.refused(token):
            return AttemptResult(Outcome.UNSENT, answer.status, answer.reason, answer.provider_id)
        return answer
