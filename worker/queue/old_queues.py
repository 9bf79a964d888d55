"""Moves jobs from the names that older versions give to the queues, while such versions may still run."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import get_args

import structlog

from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.queue_scripts import Place

log = structlog.get_logger()

EVERY_S = 0.25
"""How often the old queues are looked at. A job waits there for so long at most, unless many jobs are before it."""
LIMIT = 100
"""At how many jobs of one place one script looks."""


async def keep_moving_jobs(store: Store, old_names: Mapping[str, str], job_names: Sequence[str]) -> None:
    """Move jobs of these names to the queues' new names, again and again. Returns at once if no queue has an old name.

    Other applications may use queues of the old names. Their jobs are left alone.
    """
    starts = {(old, place): 0 for old in old_names for place in get_args(Place)}
    reported: set[str] = set()
    while starts:
        steps = [
            queue_scripts.move_jobs(old, old_names[old], place, start, limit=LIMIT, job_names=job_names)
            for (old, place), start in starts.items()
        ]
        answers = dict(zip(starts, await store.together(*steps), strict=True))
        starts = {where: start for where, (start, _) in answers.items()}
        for old in {old for (old, _), (_, moved) in answers.items() if moved} - reported:
            log.warning("old_queue_used", queue=old, moved_to=old_names[old])
            reported.add(old)
        if all(moved < LIMIT for _, moved in answers.values()):
            await asyncio.sleep(EVERY_S)
