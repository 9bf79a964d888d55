"""Where Apple's provider token is kept: in Redis for all processes, or in this process."""

import time
from typing import NamedTuple, Protocol, Self

from bellhop.clock import Seconds
from bellhop.store.async_client import Store
from bellhop.store.keys import provider_token_key

RENEW_AFTER_S = 50 * 60
"""An older token is replaced before Apple refuses it. Redis forgets it then."""


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
