"""Sends pushes to Apple: one attempt per call, and a result within its time limit."""

import asyncio
import math
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from bellhop.clock import Seconds, seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes
from bellhop.domain.push import Push
from worker.providers.answer_timeout import AnswerTimeout
from worker.providers.apns.apns_answers import read_answer
from worker.providers.apns.apns_log import ApnsLog
from worker.providers.apns.apns_request import body_of, header_block_of, request_for
from worker.providers.apns.provider_token import ProviderToken
from worker.providers.apns.token_store import SignedToken
from worker.providers.client_tls import check_files, client_tls
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_connection import Http2Connection
from worker.providers.http2.http2_pool import AVOID, DEFAULT_POLICY, SUSPICIOUS_S, Http2Pool
from worker.providers.http2.http2_stream import DelayedError, Http2Stream, UnknownError, UnsentError

PRODUCTION_URL = "https://api.push.apple.com"
SANDBOX_URL = "https://api.sandbox.push.apple.com"
RETIRE = {"TooManyProviderTokenUpdates", "IdleTimeout", "Shutdown"}
"""After these reasons of Apple's the connection is replaced."""

RENEW = {"ExpiredProviderToken", "InvalidProviderToken"}
"""After these reasons the provider token is renewed, if it is old enough."""


class ApnsSender:
    """A `Sender` for the iOS app with bundle id `topic`.

    It authenticates with `token`, which the senders for several apps of one team can share, or with a certificate.
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
        policy: ConnectionPolicy = DEFAULT_POLICY,
    ) -> None:
        """`max_connections` and `policy` are for each of Apple's two environments.

        Raises ValueError unless exactly one of token and certificate_file is given, and OSError for unreadable files.
        """
        if (token is None) == (certificate_file is None):
            raise ValueError("give either a token or a certificate_file")
        self._topic, self._token = topic, token
        self.max_in_flight = max_connections * policy.max_streams
        """How many pushes to each environment can be in flight. More would wait for a stream."""
        check_files(ca_file, certificate_file)
        tls = partial(client_tls, ca_file, certificate_file, alpn=("h2",))
        self._pools = {
            Environment.PRODUCTION: Http2Pool(url, tls, proxy, max_connections, policy, ApnsLog()),
            Environment.SANDBOX: Http2Pool(sandbox_url, tls, proxy, max_connections, policy, ApnsLog()),
        }

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make one attempt. See `worker.providers.sender.Sender`."""
        not_after_s = Seconds(asyncio.get_running_loop().time() + start_s)
        request = request_for(push, self._topic)
        body = body_of(request)
        if timeout_s <= 0:
            return AttemptResult(Outcome.UNSENT, reason="no time left")
        if len(body) > most_bytes(Provider.APNS, push.kind, alert=push.is_ringing_alert):
            return AttemptResult(Outcome.TOO_LARGE, reason=f"{len(body)} bytes")
        pool = self._pools[push.device.environment]
        token: SignedToken | None = None
        connection: Http2Connection | None = None
        stream: Http2Stream | None = None
        try:
            async with AnswerTimeout(timeout_s):
                token = await self._token.get() if self._token else None
                connection = await pool.pick()
                authorization = token.header if token else ""
                block = header_block_of(request, pool.authority, authorization, int(seconds(push.deadline)))
                stream = connection.request(block, body, not_after_s)
                result = read_answer(await stream.future, push.id, Seconds(time.time()))
        except TimeoutError:
            if connection is not None and timeout_s >= SUSPICIOUS_S:
                pool.suspect(connection, timeout_s)
            sent = stream is not None and stream.sent
            result = AttemptResult(Outcome.UNKNOWN if sent else Outcome.UNSENT, reason="no answer in time")
        except (UnsentError, UnknownError) as error:
            if connection is not None and connection.lost:
                pool.suspect(connection, timeout_s)
            result = _result_of(error)
        finally:
            if connection is not None and stream is not None:
                connection.release(stream)
        if result.outcome is not Outcome.ACCEPTED:
            result = await self._follow_up(result, token, connection, pool)
        return result

    async def prepare(self, environment: Environment, within_s: Seconds) -> None:
        """Wait for a connection, and for the provider token. See `worker.providers.sender.Sender`."""
        pool = self._pools[environment]
        if pool.usable and (self._token is None or self._token.valid):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if self._token is not None:
                    await self._token.get()
                await pool.until_usable()

    async def warm(self, environment: Environment = Environment.PRODUCTION) -> None:
        """Get the provider token and open a connection ahead of the first push. Raises UnsentError if that fails."""
        if self._token is not None:
            await self._token.get()
        await self._pools[environment].warm()

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def _follow_up(
        self, result: AttemptResult, token: SignedToken | None, connection: Http2Connection | None, pool: Http2Pool
    ) -> AttemptResult:
        """Avoid or replace the connection, or renew the token, if the result calls for it."""
        if connection is not None and result.outcome in AVOID:
            pool.avoid(connection)
        if connection is not None and result.reason in RETIRE:
            connection.retire()
        if result.reason in RENEW and self._token and token and await self._token.refused(token):
            return AttemptResult(Outcome.UNSENT, result.status, result.reason, result.provider_id)
        return result


def _result_of(error: UnsentError | UnknownError) -> AttemptResult:
    if isinstance(error, DelayedError):
        return AttemptResult(Outcome.DELAYED)
    outcome = Outcome.UNSENT if isinstance(error, UnsentError) else Outcome.UNKNOWN
    return AttemptResult(outcome, reason=str(error), fault=error.fault)
