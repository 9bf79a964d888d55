"""Helpers of several commands: connect to Redis, read devices, warn about apps without credentials."""

from collections.abc import Iterable
from typing import Any

import click
from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.domain.device import Device, Provider
from bellhop.queue.worker_status import apps_of_workers
from bellhop.settings import Settings, load
from bellhop.store import registry
from bellhop.store.blocking_client import blocking
from bellhop.store.keys import devices_key
from bellhop.store.redis_url import shown
from bellhop.store.refusals import refusal_of
from bellhop.store.without_tls import NO_TLS, answers_without_tls

TIMEOUT_S = Seconds(10.0)


def connect(settings: Settings) -> Redis:
    """Connect to Redis. Raises RedisError if it does not answer."""
    redis = blocking(settings.redis_url, timeout_s=TIMEOUT_S)
    redis.ping()
    return redis


def in_a_sentence(error: Exception, url: str = "") -> click.ClickException | None:
    """Turn a RedisError into an error that says what to do, without a password. Return None for any other error.

    `url` is that of the Redis; by default the one of the settings.
    """
    if not isinstance(error, RedisError):
        return None
    source, url = ("its URL" if url else "BELLHOP_REDIS_URL"), url or load().redis_url
    address = shown(url)
    if refusal := refusal_of(error):
        return click.ClickException(f"Redis at {address} {refusal}")
    where = f"{address} ({type(error).__name__})"
    if answers_without_tls(url):
        return click.ClickException(f"Redis does not answer at {where}: {NO_TLS}")
    return click.ClickException(f"Redis does not answer at {where}: start it, or check {source}")


def devices_of(redis: Redis, tenant: str, user_id: str) -> list[Device]:
    """Read a user's devices."""
    values: Any = redis.hvals(devices_key(tenant, user_id))
    return registry.decode(values)


def warn_about_apps(redis: Redis, settings: Settings, apps: Iterable[tuple[Provider, str]]) -> None:
    """Print a warning for each app without credentials: neither these settings nor a live worker has any.

    It is only a warning, because the credentials may be added later. If no credentials are known at all, as on a
    machine with the web process alone and no worker running, nothing is printed.
    """
    known = settings.push_apps | apps_of_workers(redis)
    for provider, app in sorted(set(apps) - known if known else ()):
        configured = ", ".join(sorted(other for other_provider, other in known if other_provider == provider))
        sentence = f"no credentials for the {provider} app {app} (configured: {configured or 'none'}): it will not ring"
        click.secho(f"warning: {sentence}", fg="yellow", err=True)
