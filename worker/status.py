"""Publishes this worker's status every second: its channels, its clock, when its certificates expire.

`bellhop.queue.worker_status` has the value and reads it.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import structlog
from cryptography import x509
from redis.exceptions import RedisError

from bellhop.domain.device import Provider
from bellhop.queue.worker_status import ChannelStatus, WorkerStatus
from bellhop.settings import ApnsApp
from bellhop.store import redis_clock
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKER_FAILED, brake_key, status_key
from worker.delivery.provider_channel import ProviderChannel

log = structlog.get_logger()

STATUS_TTL_S = 10
EVERY_S = 1.0
FAILURE_TTL_S = 120


async def keep_publishing(
    store: Store, worker: str, channels: Mapping[tuple[Provider, str], ProviderChannel], apps: Iterable[ApnsApp]
) -> None:
    """Publish the status every second."""
    certificates = _certificates(apps)
    complained = ""
    while True:
        with contextlib.suppress(RedisError):
            ahead_s = await redis_clock.ahead_s(store)
            complaint = redis_clock.complaint("this worker's clock", ahead_s)
            if complaint and not complained:
                log.error("clocks_apart", reason=complaint)
            complained = complaint
            statuses = tuple([await _channel(store, app, channel) for app, channel in channels.items()])
            status = WorkerStatus(statuses, certificates, ahead_s)
            await store.call("SET", status_key(worker), status.to_json(), "EX", STATUS_TTL_S)
        await asyncio.sleep(EVERY_S)


async def publish_failure(store: Store, reason: str) -> None:
    """Publish why this worker cannot start."""
    with contextlib.suppress(RedisError):
        await store.call("SET", WORKER_FAILED, reason, "EX", FAILURE_TTL_S)


async def _channel(store: Store, app: tuple[Provider, str], channel: ProviderChannel) -> ChannelStatus:
    brake = bool(await store.call("EXISTS", brake_key(*app)))
    return ChannelStatus(
        *app, in_flight=channel.in_flight, blocked=channel.blocked, refused=channel.refused, brake=brake
    )


def _certificates(apps: Iterable[ApnsApp]) -> dict[str, float]:
    """When each app's certificate expires (unix seconds), by topic; only apps that use one."""
    expiry = {}
    for app in apps:
        if app.certificate_file is not None:
            certificate = x509.load_pem_x509_certificate(app.certificate_file.read_bytes())
            expiry[app.topic] = certificate.not_valid_after_utc.timestamp()
    return expiry
