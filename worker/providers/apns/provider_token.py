"""Apple's provider token: one for each key, shared by every connection and every process.

Apple ("Establishing a token-based connection to APNs") takes a token that is at most an hour old, and answers 429
TooManyProviderTokenUpdates to who makes new ones more often than every 20 minutes.
"""

import asyncio
import time
from typing import NamedTuple, Protocol, Self

import structlog
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.keys import provider_token_key
from worker.providers.apns.aioapns_adapter import authorization_header

RENEW_AFTER_S = 50 * 60
MIN_AGE_S = 20 * 60
"""A younger token is never replaced."""

log = structlog.get_logger()


class SignedToken(NamedTuple):
    """One provider token, as the `authorization` header carries it."""

    issued_at: int
    """Unix time in seconds."""
    header: str

    def __repr__(self) -> str:
        return f"Token(issued_at={self.issued_at})"  # the rest is a credential

    def age_s(self) -> Seconds:
        """How old it is."""
        return Seconds(time.time() - self.issued_at)

    def to_bytes(self) -> bytes:
        """For the store."""
        return f"{self.issued_at} {self.header}".encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Back from the store. Raises ValueError for what is no token."""
        issued_at, _, header = stored.decode().partition(" ")
        return cls(int(issued_at), header)


class TokenStore(Protocol):
    """Where the token in use is kept."""

    async def current(self) -> SignedToken | None:
        """The token that everybody uses."""
        ...

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Put `new` in the place of `old`, unless somebody was faster; returns the token that is in use then."""
        ...


class MemoryTokenStore:
    """Keeps the token in this process."""

    def __init__(self) -> None:
        self._token: SignedToken | None = None

    async def current(self) -> SignedToken | None:
        """The token that everybody uses."""
        return self._token

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Put `new` in the place of `old`."""
        if self._token == old or self._token is None:
            self._token = new
        return self._token


class RedisTokenStore:
    """Keeps the token in Redis, for all processes on all machines. It is a credential: Redis must not be public."""

    def __init__(self, store: Store, team_id: str, key_id: str) -> None:
        self._store = store
        self._key = provider_token_key(team_id, key_id)

    async def current(self) -> SignedToken | None:
        """The token that everybody uses."""
        stored = await self._store.call("GET", self._key)
        return SignedToken.from_bytes(stored) if stored else None

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Put `new` in the place of `old`, unless another process was faster."""
        args: list[str | bytes | int | float] = [old.to_bytes() if old else b"", new.to_bytes(), RENEW_AFTER_S]
        return SignedToken.from_bytes(await self._store.script("providers/replace_provider_token", [self._key], args))


class ProviderToken:
    """The provider token of one key: minted, kept and renewed."""

    def __init__(self, key: str, key_id: str, team_id: str, store: TokenStore | None = None) -> None:
        """`key` is the text of the .p8 file. Raises ValueError when it cannot sign."""
        self._key, self._key_id, self._team_id = key, key_id, team_id
        try:
            self._mint()
        except Exception as error:  # pyjwt and cryptography have many words for a bad key
            raise ValueError(f"the APNs key {key_id} is no ES256 private key in PEM form") from error
        self._store = store or MemoryTokenStore()
        self._token: SignedToken | None = None
        self._renewing = asyncio.Lock()

    async def get(self) -> SignedToken:
        """The token to send."""
        if self._token is None or self._token.age_s() > RENEW_AFTER_S:
            async with self._renewing:
                if self._token is None or self._token.age_s() > RENEW_AFTER_S:
                    self._token = await self._renewed(None)
        return self._token

    async def refused(self, token: SignedToken) -> bool:
        """Apple says that `token` is expired: whether `get` gives another one now.

        It does not when the token is young: then a clock is wrong, and new tokens would only earn us 429s.
        """
        async with self._renewing:
            if self._token == token:
                self._token = await self._renewed(token)
        return self._token != token

    async def _renewed(self, refused: SignedToken | None) -> SignedToken:
        """Take the token that another process has made; make one if nobody has."""
        try:
            stored = await self._store.current()
            if stored and stored != refused and stored.age_s() <= RENEW_AFTER_S:
                return stored
            if stored and stored == refused and stored.age_s() < MIN_AGE_S:
                return stored
            return await self._store.replace(stored, self._mint())
        except (RedisError, OSError, ValueError) as error:
            # Phones must ring while the store is away; this process then uses a token of its own.
            log.warning("apns_token_not_shared", error=type(error).__name__)
            return refused if refused and refused.age_s() < MIN_AGE_S else self._mint()

    def _mint(self) -> SignedToken:
        issued_at = int(time.time())
        return SignedToken(issued_at, authorization_header(self._key, self._key_id, self._team_id))
