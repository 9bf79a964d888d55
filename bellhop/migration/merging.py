"""Decides about an entry that is copied from one Redis to another, perhaps for the second time. Pure.

An entry is a field of a hash, a member of a sorted set with its score, or a string. The new Redis remembers a digest of
what was copied. So a later run can tell on which side an entry has changed since.
"""

from enum import StrEnum
from hashlib import blake2b

DIGEST_BYTES = 8


class Change(StrEnum):
    """What happens to the entry in the new Redis. The words are in the command's summary."""

    COPIED = "copied"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    """The former Redis has the same as when it was copied; or both have the same."""
    KEPT = "kept"
    """Both have changed it since. The new Redis has the newer value."""


def digest(text: bytes) -> bytes:
    """Return what is remembered of a name or a value."""
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


def change_of(former: bytes | None, copied: bytes | None, new: bytes | None) -> Change:
    """Decide about an entry: its value in the former Redis and in the new one, and the digest of the copied value.

    None: there is none. Only an entry that the new Redis has not changed since is copied or removed.
    """
    has_changed = (digest(former) if former is not None else None) != copied
    if not has_changed or former == new:
        return Change.UNCHANGED
    if (digest(new) if new is not None else None) != copied:
        return Change.KEPT
    return Change.COPIED if former is not None else Change.REMOVED
