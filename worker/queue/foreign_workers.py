"""Takes our jobs back from workers of other applications, such as a stock `rq worker` that serves a queue of ours.

None of our code runs there: the job fails, or stays started if that worker dies.
"""

import asyncio
from collections.abc import Sequence

import structlog

from bellhop.queue.names import AGAIN_WITHIN_S, FAILURE_TTL_S
from bellhop.store import queue_scripts
from bellhop.store.async_client import Store

log = structlog.get_logger()

EVERY_S = 0.5
NOT_FAILED_S = 5
"""A job that such a worker has not ended after this time is taken back. Its failure mostly comes sooner."""
ADVICE = "a worker that is not Bellhop's takes jobs from this queue and cannot run them: stop it; they are queued again"
COUNTED_S = 3600
"""How long `bellhop check` tells of such a worker after its last job."""


async def keep_taking_back(store: Store, queues: Sequence[str], job_names: Sequence[str]) -> None:
    """Queue jobs of these names again that a worker of another application took, while there is time for them."""
    reported: set[tuple[str, str]] = set()
    while True:
        steps = [
            queue_scripts.take_back_jobs(
                queue,
                within_s=AGAIN_WITHIN_S,
                not_failed_s=NOT_FAILED_S,
                kept_s=FAILURE_TTL_S,
                counted_s=COUNTED_S,
                job_names=job_names,
            )
            for queue in queues
        ]
        for queue, workers in zip(queues, await store.together(*steps), strict=True):
            for worker, jobs in zip(workers[::2], workers[1::2], strict=True):
                name = worker.decode(errors="replace")[:100]
                if (queue, name) not in reported:
                    reported.add((queue, name))
                    log.error("foreign_worker", queue=queue, worker=name, jobs=jobs, reason=ADVICE)
        await asyncio.sleep(EVERY_S)
