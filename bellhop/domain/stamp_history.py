"""The stamps of a call that were not the last of their name: what came first can then be known. Pure.

A plain field of a call's hash keeps the latest stamp of its name. These fields keep each stamp by itself, with the
session that its event names: `at:<stamp>:<bytes of the session>:<session>:<name>`. The value is the stamp again.
bellhop/store/lua/lib/history.lua reads the same form.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bellhop.clock import Micros

KEPT = 20
"""Stamps of one name and one session that Redis keeps: the latest."""
_FIELD = re.compile(rb"at:(\d+):(\d+):(.*)", re.DOTALL)


class PastStamp(NamedTuple):
    """One stamp of a call, and the session of its event; empty if that is not known."""

    at: Micros
    session_id: str


def history_field(name: str, stamp: PastStamp) -> str:
    """Name the field of the call's hash that keeps this stamp."""
    return f"at:{stamp.at}:{len(stamp.session_id.encode())}:{stamp.session_id}:{name}"


def read_history(fields: Mapping[str, Micros]) -> dict[str, list[PastStamp]]:
    """Collect the stamps by name, from all fields of a call's hash."""
    history: dict[str, list[PastStamp]] = {}
    for field in fields:
        found = _FIELD.fullmatch(field.encode()) if field.startswith("at:") else None
        if found:
            length, rest = int(found[2]), found[3]
            name = rest[length + 1 :].decode()
            history.setdefault(name, []).append(PastStamp(Micros(int(found[1])), rest[:length].decode()))
    return history


def latest(stamps: Iterable[tuple[str, Micros]]) -> dict[str, Micros]:
    """Keep the latest stamp of each name, as the plain fields do."""
    kept: dict[str, Micros] = {}
    for name, at in stamps:
        kept[name] = max(at, kept.get(name, at))
    return kept
