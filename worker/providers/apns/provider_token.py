"""Apple's provider token: one for each key, shared by all connections and all processes.

Apple ("Establishing a token-based connection to APNs") accepts a token for an hour. It answers 429
TooManyProviderTokenUpdates if new tokens come more often than every 20 minutes.
"""

import asyncio
import time

import jwt
import structlog
from redis.exceptions import RedisError

from worker.providers.apns.token_store import RENEW_AFTER_S, MemoryTokenStore, SignedToken, TokenStore
from worker.providers.http2.aioapns_adapter import authorization_header

MIN_AGE_S = 20 * 60
"""A younger token that Apple refuses is not replaced, unless it is not valid."""
CLOCKS_DIFFER_S = 60
"""A token from further in the future is not valid."""

log = structlog.get_logger()


class ProviderToken:
    """Makes, keeps and renews the provider token of one key."""

    def __init__(self, key: str, key_id: str, team_id: str, store: TokenStore | None = None) -> None:
        """`key` is the text of the .p8 file. Raises ValueError if it cannot sign."""
        self._key, self._key_id, self._team_id = key, key_id, team_id
        try:
            self._sign()
        except Exception as error:  # pyjwt and cryptography raise many types for a bad key
            raise ValueError(f"the APNs key {key_id} is not an ES256 private key in PEM form") from error
        self._store = store or MemoryTokenStore()
        self._token: SignedToken | None = None
        self._renewing = asyncio.Lock()

    @property
    def valid(self) -> bool:
        """Whether `get` need not wait."""
        return self._token is not None and self._token.age_s() <= RENEW_AFTER_S

    async def get(self) -> SignedToken:
        """Return the token to send with a push."""
        if self._token is None or self._token.age_s() > RENEW_AFTER_S:
            async with self._renewing:
                if self._token is None or self._token.age_s() > RENEW_AFTER_S:
                    self._token = await self._renewed(None)
        return self._token

    async def refused(self, token: SignedToken) -> bool:
        """Replace `token`, which Apple calls expired. Returns whether `get` returns another one now.

        A young and valid token is not replaced: then our clock is wrong, and Apple would answer 429 to new tokens.
        """
        async with self._renewing:
            if self._token == token:
                self._token = await self._renewed(token)
        return self._token != token

    async def _renewed(self, refused: SignedToken | None) -> SignedToken:
        """Return the token that another process has made, or make one."""
        try:
            stored = await self._store.current()
            if stored and self._is_usable(stored, refused):
                return stored
            return await self._store.replace(stored, self._sign())
        except (RedisError, OSError, ValueError) as error:
            # Phones must ring while Redis is away: this process uses its own token until then.
            log.warning("apns_token_not_shared", error=type(error).__name__)
            return refused if refused and self._is_usable(refused, refused) else self._sign()

    def _is_usable(self, token: SignedToken, refused: SignedToken | None) -> bool:
        """Whether `token` is not too old, our key has signed it, and its time has come.

        This or another process may have made it with a wrong key file, or while a clock was wrong.
        """
        if token.age_s() > (MIN_AGE_S if token == refused else RENEW_AFTER_S):
            return False
        try:
            jwt.decode(token.header.rpartition(" ")[2], self._key, algorithms=["ES256"], leeway=CLOCKS_DIFFER_S)
        except jwt.InvalidTokenError:
            return False
        return True

    def _sign(self) -> SignedToken:
        issued_at_s = int(time.time())
        return SignedToken(issued_at_s, authorization_header(self._key, self._key_id, self._team_id))
