"""`bellhop check`: the live workers: which queues they serve, and what they report about their providers."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from redis import Redis

from bellhop.cli.check.clocks import clock_finding
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.queue.names import EVENTS, MAIL, NEEDED, STREAM
from bellhop.queue.other_databases import no_worker, workers_elsewhere
from bellhop.queue.worker_status import InstallationState, read_installation_state
from bellhop.settings import Settings
from bellhop.store.blocking_cluster import ClusterRedis
from bellhop.store.cluster_facts import read_cluster

NEEDED_SETTINGS = {
    MAIL: "a mail server (BELLHOP_SMTP_HOST)",
    STREAM: "the Stream apps, and BELLHOP_RECEIPT_SECRET or BELLHOP_TELL_CALLER",
    EVENTS: "the endpoints of your backend",
}
"""What a worker needs to serve a queue, if it is not the apps of Apple and Google."""


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check the workers, as Redis shows them."""
    read = await read_redis(settings, _read)
    if read is None:
        return
    state, where = read
    if not state.live():
        elsewhere = await asyncio.to_thread(workers_elsewhere, settings.redis_url)
        yield Finding(Level.PROBLEM, "workers", no_worker(settings.redis_url, elsewhere))
        return
    yield Finding(Level.OK, "workers", f"{len(state.live())} alive{where}")
    for finding in (*_clocks(state), *_unserved(settings, state), *_refused(state)):
        yield finding


def _read(redis: Redis) -> tuple[InstallationState, str]:
    """Return the state, and where it was read; empty for all of Redis."""
    if not isinstance(redis, ClusterRedis):
        return read_installation_state(redis), ""
    readable, count = read_cluster(redis, masters_only=True).readable_partitions, len(redis.partitions)
    where = (
        f", as {len(readable)} of {count} partitions show: the others do not answer" if len(readable) < count else ""
    )
    return read_installation_state(redis, readable), where


def _clocks(state: InstallationState) -> Iterator[Finding]:
    """Compare each worker's clock with Redis's."""
    for worker, status in sorted(state.statuses.items()):
        yield clock_finding("clock", f"the clock of worker {worker}", status.clock_ahead_s)


def _unserved(settings: Settings, state: InstallationState) -> Iterator[Finding]:
    """Name each queue whose jobs no live worker takes. Queues of features that are off may be unserved."""
    wanted = {
        MAIL: settings.sends_emails,
        STREAM: settings.sends_to_stream,
        EVENTS: bool(settings.event_endpoints),
        **dict.fromkeys(NEEDED, True),
    }
    for queue, workers in state.workers.items():
        if not workers and (wanted.get(queue) or state.jobs[queue, "queued"]):
            needed = NEEDED_SETTINGS.get(queue, "the apps of Apple or Google")
            sentence = f"no live worker serves it: start a worker whose settings have {needed}"
            yield Finding(Level.PROBLEM if queue in (*NEEDED, MAIL) else Level.WARNING, f"queue {queue}", sentence)


def _refused(state: InstallationState) -> Iterator[Finding]:
    """Name each app whose credentials a provider refuses to the workers, which may have other settings."""
    for (provider, app), channels in sorted(state.channels_by_app().items()):
        reasons = [channel.refused for channel in channels if channel.refused]
        if reasons:
            reporting = f"{len(reasons)} of {len(channels)} workers"
            sentence = f"the provider refuses the credentials, as {reporting} report ({reasons[0]})"
            yield Finding(Level.PROBLEM, f"{provider} {app}", sentence)
