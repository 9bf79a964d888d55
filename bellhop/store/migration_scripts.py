"""The script that copies entries from the former Redis to the new one, and the order of its keys and arguments."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bellhop.store.scripts import Argument, Command

REMEMBERED_S = 30 * 24 * 3600
"""How long Redis remembers what was copied, after the last run."""


class EntryToCopy(NamedTuple):
    """An entry of a key, and what happens to it."""

    name: bytes
    """The field of a hash, or the member of a sorted set; empty for a string."""
    new: bytes | None
    """Its value in the new Redis as it was read; None for none. If it has changed since, the script does nothing."""
    action: Literal["put", "remove", "keep"]
    former: bytes | None
    """Its value in the former Redis, for the action `put`."""
    name_digest: bytes
    digest: bytes | None
    """The digest of the former value, to be remembered; None to forget it."""


def copy_entries(
    key: str, copied: str, type_: Literal["hash", "zset", "string"], left_ms: int, entries: Sequence[EntryToCopy]
) -> Command:
    """Return the script. `copied`: what was copied of the key. `left_ms`: how long the key lasts; -1 for good."""
    args: list[Argument] = [type_, left_ms if left_ms >= 0 else "", REMEMBERED_S]
    for name, new, action, former, name_digest, digest in entries:
        args += [name, "" if new is None else "1", new or b"", action, former or b"", name_digest, digest or b""]
    return Command("migration/copy_entries", [key, copied], args)
