"""Takes our jobs back from workers of other applications, such as a stock `rq worker` that serves a queue of ours.

None of our code runs there: the job fails, or stays started if that worker dies.
"""

from collections.abc import Sequence

import structlog

from bellhop.queue.names import AGAIN_WITHIN_S, FAILURE_TTL_S
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store
from bellhop.store.scripts import Command

log = structlog.get_logger()

NOT_FAILED_S = 5
"""A job that such a worker has not ended after this time is taken back. Mostly it fails before that."""
ADVICE = "a worker that is not Bellhop's takes jobs from this queue and cannot run them: stop it; they are queued again"
COUNTED_S = 3600
"""How long `bellhop check` reports such a worker after it took its last job."""


class ForeignWorkers:
    """Takes jobs of these names back, and logs each worker once."""

    def __init__(self, store: Store, queues: Sequence[str], job_names: Sequence[str]) -> None:
        self._store, self._queues, self._job_names = store, queues, job_names
        self._reported: set[tuple[str, str]] = set()

    async def take_back(self) -> None:
        """Queue jobs again that a worker of another application took, while there is time for them."""
        steps = [self._take_back_jobs(queue) for queue in self._queues]
        for queue, workers in zip(self._queues, await self._store.together(*steps), strict=True):
            for worker, jobs in zip(workers[::2], workers[1::2], strict=True):
                self._report(queue, worker.decode(errors="replace")[:100], jobs)

    def _take_back_jobs(self, queue: str) -> Command:
        return queue_scripts.take_back_jobs(
            queue,
            within_s=AGAIN_WITHIN_S,
            not_failed_s=NOT_FAILED_S,
            kept_s=FAILURE_TTL_S,
            counted_s=COUNTED_S,
            job_names=self._job_names,
        )

    def _report(self, queue: str, worker: str, jobs: int) -> None:
        if (queue, worker) not in self._reported:
            self._reported.add((queue, worker))
            log.error("foreign_worker", queue=queue, worker=worker, jobs=jobs, reason=ADVICE)
