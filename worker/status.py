"""Publishes this worker's status: its channels, its clock, when its certificates expire.

`bellhop.queue.worker_status` has the value and reads it.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterable, Mapping

import structlog
from cryptography import x509
from prometheus_client import ProcessCollector
from redis.exceptions import RedisError

from bellhop import __version__
from bellhop.clock import Seconds
from bellhop.domain.device import Provider
from bellhop.queue.worker_status import ChannelStatus, EndpointStatus, WorkerStatus
from bellhop.settings import ApnsApp
from bellhop.store import redis_clock
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKER_FAILED, brake_key, status_key
from worker.delivery.provider_channel import ProviderChannel
from worker.delivery.service_channels import ServiceChannels
from worker.events_out.event_channel import EventChannel

log = structlog.get_logger()

STATUS_TTL_S = 30
EVERY_S = 1.0
UNCHANGED_S = Seconds(10.0)
"""How often a worker publishes its status again while its channels do not change."""
FAILURE_TTL_S = 120
PROCESS = ProcessCollector(registry=None)

Channels = Mapping[tuple[Provider, str], ProviderChannel | ServiceChannels]


async def keep_publishing(
    store: Store, worker: str, channels: Channels, apps: Iterable[ApnsApp], endpoints: Iterable[EventChannel] = ()
) -> None:
    """Publish the status every second if the channels have changed, else every `UNCHANGED_S`."""
    certificates = _certificates(apps)
    complained, published, publish_at_s = "", list[object](), 0.0
    while True:
        seen = _seen(channels, endpoints)
        if seen != published or time.monotonic() >= publish_at_s:
            with contextlib.suppress(RedisError):
                ahead_s = await redis_clock.ahead_s(store)
                complained = _complain(ahead_s, complained)
                status = WorkerStatus(
                    await _statuses(store, channels),
                    certificates,
                    ahead_s,
                    _process(),
                    socket.gethostname(),
                    os.getpid(),
                    __version__,
                    tuple(map(_endpoint_status, endpoints)),
                )
                await store.call("SET", status_key(worker), status.to_json(), "EX", STATUS_TTL_S)
                published, publish_at_s = seen, time.monotonic() + UNCHANGED_S
        await asyncio.sleep(EVERY_S)


def _seen(channels: Channels, endpoints: Iterable[EventChannel]) -> list[object]:
    """Return what is published about the channels at once when it changes."""
    pushes = [(channel.in_flight, channel.blocked, channel.refused, channel.trouble) for channel in channels.values()]
    return [pushes, [(endpoint.in_flight, endpoint.health.takes_nothing) for endpoint in endpoints]]


def _endpoint_status(channel: EventChannel) -> EndpointStatus:
    return EndpointStatus(channel.name, channel.in_flight, channel.health.takes_nothing)


async def publish_failure(store: Store, reason: str) -> None:
    """Publish why this worker cannot start."""
    with contextlib.suppress(RedisError):
        await store.call("SET", WORKER_FAILED, reason, "EX", FAILURE_TTL_S)


def _complain(ahead_s: Seconds, complained: str) -> str:
    """Log once when the clocks begin to differ; returns the complaint, empty if there is none."""
    complaint = redis_clock.complaint("this worker's clock", ahead_s)
    if complaint and not complained:
        log.error("clocks_apart", reason=complaint)
    return complaint


async def _statuses(store: Store, channels: Channels) -> tuple[ChannelStatus, ...]:
    brakes = await store.call("MGET", *(brake_key(*app) for app in channels)) if channels else []
    return tuple(
        _status(app, channel, brake=brake is not None)
        for (app, channel), brake in zip(channels.items(), brakes, strict=True)
    )


def _status(app: tuple[Provider, str], channel: ProviderChannel | ServiceChannels, *, brake: bool) -> ChannelStatus:
    trouble = channel.trouble
    return ChannelStatus(
        *app,
        in_flight=channel.in_flight,
        blocked=channel.blocked,
        refused=channel.refused,
        brake=brake,
        failing=trouble.outcome if trouble else "",
        answer=" ".join(str(part) for part in (trouble.status or "", trouble.reason) if part) if trouble else "",
    )


def _process() -> dict[str, float]:
    """Return the figures that Linux has about this process; empty on other systems."""
    return {sample.name: sample.value for metric in PROCESS.collect() for sample in metric.samples}


def _certificates(apps: Iterable[ApnsApp]) -> dict[str, float]:
    """When each app's certificate expires (unix seconds), by topic; only apps that use one."""
    expiry = {}
    for app in apps:
        if app.certificate_file is not None:
            certificate = x509.load_pem_x509_certificate(app.certificate_file.read_bytes())
            expiry[app.topic] = certificate.not_valid_after_utc.timestamp()
    return expiry
