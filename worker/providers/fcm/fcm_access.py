"""The OAuth2 access token of one service account: fetched once for all pushes, renewed before it expires."""

import asyncio
import json
import re
import time
from contextvars import Context
from dataclasses import dataclass
from functools import partial

import aiohttp
import google.auth.jwt
import structlog
from google.oauth2 import service_account

from bellhop.clock import Seconds
from bellhop.domain.outcomes import AttemptResult, Outcome
from worker.providers.openssl_words import openssl_words
from worker.providers.retry_after import retry_after_s

# https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"
ASSERTION_LIFE_S = 3600
RENEW_BEFORE_S = 300.0
"""A token is renewed in the background when it expires this soon."""
RENEWAL_PAUSE_S = 10.0
"""The pause after a failed renewal, while the old token is still valid."""
ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What a request can carry in its header."""
TRY_AGAIN = {"internal_failure", "server_error", "temporarily_unavailable"}
"""OAuth2 errors that are about the endpoint, not about our key."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What the token endpoint gave; `expires_at_s` is Unix time in seconds."""

    value: str
    expires_at_s: Seconds


class AccessTokens:
    """Keeps the access token. One request fetches it for all pushes that wait."""

    def __init__(self, credentials: service_account.Credentials, token_uri: str, timeout_s: Seconds) -> None:
        """`timeout_s` is for one request to the token endpoint."""
        self._credentials, self._token_uri, self._timeout_s = credentials, token_uri, timeout_s
        self._token: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken | AttemptResult] | None = None
        self._renew_not_before_s = 0.0
        self._renewal: asyncio.TimerHandle | None = None

    @property
    def valid(self) -> bool:
        """Whether there is an access token, so that `get` need not wait."""
        return self._token is not None and self._token.expires_at_s > time.time()

    async def get(self, session: aiohttp.ClientSession) -> AccessToken | AttemptResult:
        """Return a valid access token, or the result of a push that cannot get one.

        In its last minutes a token is renewed in the background. So no push waits while the token endpoint is down for
        a short time.
        """
        now = Seconds(time.time())
        if self._token is None or self._token.expires_at_s <= now:
            # Other pushes wait for the same request. Without the shield, a push whose time is over would cancel it.
            return await asyncio.shield(self._fetch(session))
        if self._token.expires_at_s - now < RENEW_BEFORE_S and now >= self._renew_not_before_s:
            self._fetch(session)
        return self._token

    async def renewed(self, refused: AccessToken, session: aiohttp.ClientSession) -> AccessToken | AttemptResult:
        """Return a new token after FCM refused this one, or the result of the push if there is none.

        Other pushes use the old token until there is a new one: a single refusal may be FCM's mistake.
        """
        if self._token is refused:
            return await asyncio.shield(self._fetch(session))
        return await self.get(session)

    async def close(self) -> None:
        """Renew no token any more. Cancel the request for one, if there is one."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fetch(self, session: aiohttp.ClientSession) -> asyncio.Task[AccessToken | AttemptResult]:
        if self._fetching is None:
            # The token is for all pushes, so its log lines must not carry the webhook id of one.
            self._fetching = asyncio.create_task(self._request(session), context=Context())
            self._fetching.add_done_callback(partial(self._fetched, session))
        return self._fetching

    def _fetched(self, session: aiohttp.ClientSession, task: asyncio.Task[AccessToken | AttemptResult]) -> None:
        self._fetching = None
        if task.cancelled():
            return
        result = task.result()
        if isinstance(result, AccessToken):
            self._token = result
            self._renew_in_time(result, session)
        else:
            self._renew_not_before_s = time.time() + RENEWAL_PAUSE_S
            log.warning("fcm_access_token_failed", status=result.status, reason=result.reason)

    def _renew_in_time(self, token: AccessToken, session: aiohttp.ClientSession) -> None:
        """Renew a token also if no push comes: the first ring after a quiet hour should not wait for one."""
        if self._renewal is not None:
            self._renewal.cancel()
        left_s = token.expires_at_s - time.time() - RENEW_BEFORE_S
        if left_s > 0:  # otherwise it would be renewed again and again
            self._renewal = asyncio.get_running_loop().call_later(left_s, self._fetch, session)

    async def _request(self, session: aiohttp.ClientSession) -> AccessToken | AttemptResult:
        now = Seconds(time.time())
        form = {"grant_type": GRANT_TYPE, "assertion": self._assertion(now)}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                session.post(self._token_uri, data=form, allow_redirects=False) as response,
            ):
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            return AttemptResult(Outcome.UNSENT, reason=f"TOKEN_ENDPOINT{openssl_words(error)}")
        return read_token(response.status, body, response.headers.get("Retry-After"), now)

    def _assertion(self, now: Seconds) -> str:
        claims = {
            "iss": self._credentials.service_account_email,
            "aud": AUDIENCE,
            "scope": SCOPE,
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFE_S,
        }
        signed: bytes = google.auth.jwt.encode(self._credentials.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()


def read_token(status: int, body: bytes, retry_after: str | None, now: Seconds) -> AccessToken | AttemptResult:
    """Read the answer of the token endpoint; `retry_after` is the header, `now` is unix time.

    Only an OAuth2 error (RFC 6749, section 5.2) is about our key. Any other answer means that the endpoint is faulty.
    """
    try:
        content = json.loads(body)
        if status == 200 and ACCESS_TOKEN.fullmatch(content["access_token"]):
            return AccessToken(content["access_token"], Seconds(now + float(content["expires_in"])))
        error = str(content["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        error = ""
    if status in (400, 401, 403) and error and error not in TRY_AGAIN:
        return AttemptResult(Outcome.CREDENTIALS_REFUSED, status, error[:60])
    return AttemptResult(Outcome.UNSENT, status, "TOKEN_ENDPOINT", retry_after_s=retry_after_s(retry_after, now))
