"""Apple's provider token: one for each key, shared by all connections and all processes.

Apple ("Establishing a token-based connection to APNs") accepts a token for an hour. It answers 429
TooManyProviderTokenUpdates if new tokens come more often than every 20 minutes.
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
"""An older token is replaced before Apple refuses it."""
MIN_AGE_S = 20 * 60
"""A younger token is never replaced."""

log = structlog.get_logger()


class SignedToken(NamedTuple):
    """One provider token, in the form of the `authorization` header."""

    issued_at_s: int
    """Unix time in seconds."""
    header: str

    def __repr__(self) -> str:
        return f"Token(issued_at_s={self.issued_at_s})"  # the rest is a credential

    def age_s(self) -> Seconds:
        """Return how old it is."""
        return Seconds(time.time() - self.issued_at_s)

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return f"{self.issued_at_s} {self.header}".encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read the stored form. Raises ValueError if it is not valid."""
        issued_at_s, _, header = stored.decode().partition(" ")
        return cls(int(issued_at_s), header)


class TokenStore(Protocol):
    """Where the token in use is kept."""

    async def current(self) -> SignedToken | None:
        """Return the token in use."""
        ...

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Replace `old` by `new`, unless another process has replaced it. Returns the token in use after that."""
        ...


class MemoryTokenStore:
    """Keeps the token in this process."""

    def __init__(self) -> None:
        self._token: SignedToken | None = None

    async def current(self) -> SignedToken | None:
        """Return the token in use."""
        return self._token

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Replace `old` by `new`."""
        if self._token == old or self._token is None:
            self._token = new
        return self._token


class RedisTokenStore:
    """Keeps the token in Redis, for all processes on all machines. It is a credential: Redis must not be public."""

    def __init__(self, store: Store, team_id: str, key_id: str) -> None:
        self._store = store
        self._key = provider_token_key(team_id, key_id)

    async def current(self) -> SignedToken | None:
        """Return the token in use."""
        stored = await self._store.call("GET", self._key)
        return SignedToken.from_bytes(stored) if stored else None

    async def replace(self, old: SignedToken | None, new: SignedToken) -> SignedToken:
        """Replace `old` by `new`, unless another process has replaced it."""
        args: list[str | bytes | int | float] = [old.to_bytes() if old else b"", new.to_bytes(), RENEW_AFTER_S]
        return SignedToken.from_bytes(await self._store.script("providers/replace_provider_token", [self._key], args))


class ProviderToken:
    """The provider token of one key: minted, kept and renewed."""

    def __init__(self, key: str, key_id: str, team_id: str, store: TokenStore | None = None) -> None:
        """`key` is the text of the .p8 file. Raises ValueError when it cannot sign."""
        self._key, self._key_id, self._team_id = key, key_id, team_id
        try:
            self._mint()
        except Exception as error:  # pyjwt and cryptography raise many types for a bad key
            raise ValueError(f"the APNs key {key_id} is not an ES256 private key in PEM form") from error
        self._store = store or MemoryTokenStore()
        self._token: SignedToken | None = None
        self._renewing = asyncio.Lock()

    async def get(self) -> SignedToken:
        """Return the token to send with a push."""
        if self._token is None or self._token.age_s() > RENEW_AFTER_S:
            async with self._renewing:
                if self._token is None or self._token.age_s() > RENEW_AFTER_S:
                    self._token = await self._renewed(None)
        return self._token

    async def refused(self, token: SignedToken) -> bool:
        """Replace `token`, which Apple calls expired. Returns whether `get` returns another one now.

        A young token is not replaced: then a clock is wrong, and Apple would answer 429 to new tokens.
        """
        async with self._renewing:
            if self._token == token:
                self._token = await self._renewed(token)
        return self._token != token

    async def _renewed(self, refused: SignedToken | None) -> SignedToken:
        """Return the token that another process has made, or make one."""
        try:
            stored = await self._store.current()
            if stored and stored != refused and stored.age_s() <= RENEW_AFTER_S:
                return stored
            if stored and stored == refused and stored.age_s() < MIN_AGE_S:
                return stored
            return await self._store.replace(stored, self._mint())
        except (RedisError, OSError, ValueError) as error:
            # Phones must ring while Redis is away: this process uses its own token until then.
            log.warning("apns_token_not_shared", error=type(error).__name__)
            return refused if refused and refused.age_s() < MIN_AGE_S else self._mint()

    def _mint(self) -> SignedToken:
        issued_at_s = int(time.time())
        return SignedToken(issued_at_s, authorization_header(self._key, self._key_id, self._team_id))
