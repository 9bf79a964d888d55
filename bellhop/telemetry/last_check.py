"""What the last `bellhop check` found. The command writes it, and the console's service page shows it."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from bellhop.clock import Micros
from bellhop.store.keys import LAST_CHECK
from bellhop.store.scripts import RawCommand

KEPT_S = 7 * 24 * 3600
MOST_FINDINGS, MOST_CHARACTERS = 100, 600

Faults = Sequence[tuple[str, str, str]]
"""Of each fault: its level ("warning" or "problem"), its subject, and the sentence about it."""


class LastCheck(NamedTuple):
    """The warnings and problems of a check."""

    at: Micros
    """When it ended, by Redis's clock."""
    faults: Faults


def keep_check(at: Micros, faults: Iterable[tuple[str, str, str]]) -> RawCommand:
    """Return the command that keeps a check. Long sentences are cut.

    The faults must name no user: forgetting a person does not look for the person here.
    """
    short = [(level, subject, sentence[:MOST_CHARACTERS]) for level, subject, sentence in faults]
    return ("SET", LAST_CHECK, json.dumps({"at": at, "faults": short[:MOST_FINDINGS]}), "EX", KEPT_S)


def read_last_check(redis: Redis) -> LastCheck | None:
    """Read the last check; None if there was none lately. Raises redis.exceptions.RedisError."""
    stored: Any = redis.get(LAST_CHECK)
    if stored is None:
        return None
    document = json.loads(stored)
    return LastCheck(Micros(document["at"]), [tuple(fault) for fault in document["faults"]])
