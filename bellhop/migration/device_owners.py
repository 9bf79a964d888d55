"""Makes users the owners of the tokens of their copied devices.

The owner comes first, as in a registration: a device counts only for the user whom the owner key names. A token that
another user has in the new Redis stays there, unless it was copied, and has moved in the former Redis since.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bellhop.migration.entries_of_keys import copied_key_of
from bellhop.migration.merging import digest
from bellhop.migration.sides import Side
from bellhop.store import registry
from bellhop.store.keys import devices_key, owner_key
from bellhop.store.scripts import RawCommand


class Token(NamedTuple):
    """The token of a device that is copied."""

    tenant: str
    user_id: str
    device_key: str

    @property
    def owner_key(self) -> str:
        """The key that names its owner."""
        return owner_key(self.tenant, self.device_key)


def make_owners(new: Side, tokens: Sequence[Token], secret: bytes, remembers: Side, *, dry_run: bool) -> set[Token]:
    """Make users the owners of tokens; returns the tokens that are theirs now. `dry_run`: only look who has them.

    `remembers`: the side that knows what was copied.
    """
    owners = new.run(*(_looked_up(token) if dry_run else registry.take_own_token(*token) for token in tokens))
    theirs, moved = set(), []
    for token, owner in zip(tokens, owners, strict=True):
        if owner in (None, b"", token.user_id.encode()):
            theirs.add(token)
        elif _has_moved(new, token, owner.decode(), secret, remembers, dry_run=dry_run):
            moved.append(token)
    return theirs | (set(moved) if dry_run else take_free_tokens(new, moved))


def _looked_up(token: Token) -> RawCommand:
    return ("GET", token.owner_key)


def take_free_tokens(new: Side, tokens: Sequence[Token]) -> set[Token]:
    """Make users the owners of tokens that nobody else has; returns these."""
    answers = new.run(*(registry.take_own_token(*token) for token in tokens))
    return {token for token, owner in zip(tokens, answers, strict=True) if owner in (b"", token.user_id.encode())}


def _has_moved(new: Side, token: Token, owner: str, secret: bytes, remembers: Side, *, dry_run: bool) -> bool:
    """Return whether the owner has the token only because it was copied. If so, it is taken from the owner.

    The former Redis names another owner now. An owner without a device is left from a removal that was interrupted.
    """
    key, name = devices_key(token.tenant, owner), token.device_key.encode()
    (stored,) = new.run(("HGET", key, name))
    (copied,) = remembers.run(("HGET", copied_key_of(key, secret, remembers), digest(name)))
    if stored is not None and digest(stored) != copied:
        return False
    if dry_run:
        return True
    theirs = registry.decode([stored] if stored is not None else [])
    if theirs:
        return new.run_steps(registry.remove(token.tenant, theirs[0])) == "done"
    new.run_steps(registry.leave_token(token.tenant, owner, token.device_key))
    return True
