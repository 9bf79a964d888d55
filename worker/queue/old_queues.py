"""Moves jobs from the names that older versions give to the queues, while such versions may still run."""

from collections.abc import Mapping, Sequence
from typing import get_args

import structlog

from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.queue_scripts import JobState
from bellhop.store.scripts import Command

log = structlog.get_logger()

LIMIT = 100
"""At how many jobs of one state one script looks."""


class OldQueues:
    """Moves jobs of these names to the queues' new names.

    Other applications may use queues of the old names. Their jobs are left alone.
    """

    def __init__(self, store: Store, old_names: Mapping[str, str], job_names: Sequence[str]) -> None:
        self._store, self._old_names, self._job_names = store, old_names, job_names
        self._starts = {(old, state): 0 for old in old_names for state in get_args(JobState)}
        """Where to look next in each state."""
        self._reported: set[str] = set()

    async def move(self) -> None:
        """Look at some jobs of each state, and go on at once while there are many to move."""
        many = bool(self._starts)
        while many and await self._exist():
            steps = [self._move_jobs(old, state, start) for (old, state), start in self._starts.items()]
            answers = dict(zip(self._starts, await self._store.together(*steps), strict=True))
            self._starts = {where: start for where, (start, _) in answers.items()}
            self._report({old for (old, _), (_, moved) in answers.items() if moved})
            many = any(moved >= LIMIT for _, moved in answers.values())

    async def _exist(self) -> bool:
        keys = [queue_scripts.key_of_jobs(old, state) for old, state in self._starts]
        return bool(await self._store.call("EXISTS", *keys))

    def _move_jobs(self, old: str, state: JobState, start: int) -> Command:
        return queue_scripts.move_jobs(old, self._old_names[old], state, start, limit=LIMIT, job_names=self._job_names)

    def _report(self, queues: set[str]) -> None:
        for queue in queues - self._reported:
            log.warning("old_queue_used", queue=queue, moved_to=self._old_names[queue])
        self._reported |= queues
