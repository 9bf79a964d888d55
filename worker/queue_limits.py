"""Which queues a worker serves, and how many of their jobs it runs at the same time."""

from bellhop.queue.names import EVENTS, MAIL, NOTICES, RINGS, STREAM
from bellhop.settings import Settings
from worker.events_out.event_channel import WAITING

JOBS_PER_CONCURRENCY = 10
"""Jobs in memory for each of BELLHOP_WORKER_CONCURRENCY. Nearly all of them wait for a provider, and a provider that
hangs must not keep other rings in the queue."""
EVENT_JOBS = 2 * WAITING
"""Jobs in memory for each endpoint: those with a request under way, and those that wait for a place. Further jobs of an
endpoint that is slow end at once, and leave their place to others."""
EMAIL_JOBS = 16
"""E-mail jobs in memory. Each has its own connection to the mail server."""
STREAM_JOBS = 256
"""Jobs in memory that send something to Stream. Nearly all of them only wait for its answer."""


def queue_limits(settings: Settings) -> dict[str, int]:
    """How many jobs of each queue run at the same time. A worker takes only jobs that it can do with its settings."""
    limits = {}
    if settings.push_apps:
        limits[RINGS] = JOBS_PER_CONCURRENCY * settings.worker_concurrency
        limits[NOTICES] = JOBS_PER_CONCURRENCY * max(1, settings.worker_concurrency // 4)
    if settings.sends_emails:
        limits[MAIL] = EMAIL_JOBS
    if settings.sends_to_stream:
        limits[STREAM] = STREAM_JOBS
    if settings.event_endpoints:
        limits[EVENTS] = EVENT_JOBS * len(settings.event_endpoints)
    return limits
