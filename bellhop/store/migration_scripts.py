"""The script that copies entries from another Redis, and the order of its keys and arguments."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bellhop.store.scripts import Argument, Command

REMEMBERED_S = 30 * 24 * 3600
"""How long Redis remembers what was copied, after the last run."""


class EntryToCopy(NamedTuple):
    """An entry of a key, and what happens to it."""

    name: bytes
    """The field of a hash, or the member of a sorted set; empty for a string."""
    here: bytes | None
    """Its value as it was read; None if it was not there. Otherwise, the script does nothing."""
    action: Literal["put", "remove", "keep"]
    there: bytes | None
    """Its value in the other Redis. It is put, unless it is kept as it is."""
    name_digest: bytes
    digest: bytes | None
    """The digest of the value in the other Redis, to be remembered; None to forget it."""


def copy_entries(
    key: str, copied: str, type_: Literal["hash", "zset", "string"], left_ms: int, entries: Sequence[EntryToCopy]
) -> Command:
    """Return the script. `copied`: what was copied of the key. `left_ms`: how long the key lasts; -1 for good."""
    args: list[Argument] = [type_, left_ms if left_ms >= 0 else "", REMEMBERED_S]
    for name, here, action, there, name_digest, digest in entries:
        args += [name, "" if here is None else "1", here or b"", action, there or b"", name_digest, digest or b""]
    return Command("migration/copy_entries", [key, copied], args)
