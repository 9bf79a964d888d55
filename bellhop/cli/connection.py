"""What the commands about people have in common: the settings, the tenant that is meant, and Redis."""

from collections.abc import Iterable
from typing import Any

import click
from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.domain.device import Device, Provider
from bellhop.queue.worker_status import apps_of_workers
from bellhop.settings import ConfigurationError, Settings, load
from bellhop.store import registry
from bellhop.store.blocking_client import blocking
from bellhop.store.keys import devices_key
from bellhop.store.redis_url import shown
from bellhop.store.scripts import Command, by_source

ANSWER_S = Seconds(10.0)
"""How long Redis may take to answer."""
tenant_option = click.option("--tenant", default="", help="Which Stream app's users; not needed where there is one.")


def settings_of_all() -> Settings:
    """Load the settings; exits with every problem when they are not usable."""
    try:
        return load()
    except ConfigurationError as error:
        raise click.ClickException("\n".join(error.problems)) from None


def tenant_of(settings: Settings, named: str) -> str:
    """Find out which Stream app is meant; exits with those that there are when that is none of them.

    Settings without Stream apps, such as a worker's, do not know: whatever was named is believed.
    """
    tenants = [app.tenant for app in settings.stream_apps] or [named or "default"]
    if not named:
        named = tenants[0] if len(tenants) == 1 else "default"
    if named in tenants:
        return named
    say = " or ".join(f"--tenant {tenant}" for tenant in tenants)
    raise click.UsageError(f"the settings have no Stream app {named}: say {say}")


def connect(settings: Settings) -> Redis:
    """Connect to the Redis of the settings; exits with a sentence when there is none."""
    try:
        redis = blocking(settings.redis_url, timeout_s=ANSWER_S)
        redis.ping()
    except RedisError as error:
        raise click.ClickException(no_redis(settings, error)) from None
    return redis


def no_redis(settings: Settings, error: RedisError) -> str:
    """Say that Redis is away, and what to do."""
    where = f"{shown(settings.redis_url)} ({type(error).__name__})"
    return f"Redis does not answer at {where}: does it run? Else set BELLHOP_REDIS_URL"


def stored(redis: Redis, tenant: str, user_id: str) -> list[Device]:
    """Read a user's devices."""
    values: Any = redis.hvals(devices_key(tenant, user_id))
    return registry.decode(values)


def run(redis: Redis, commands: list[Command]) -> list[Any]:
    """Run scripts in one round trip; returns their answers."""
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*by_source(command))  # type: ignore[no-untyped-call]
    return pipeline.execute()


def warn_of_apps(redis: Redis, settings: Settings, apps: Iterable[tuple[Provider, str]]) -> None:
    """Say of each app that nobody has credentials for it: neither these settings nor a living worker's.

    No more than a warning, since the credentials may come later. Where nothing is known of any, as beside a web process
    with settings of its own and no worker alive, nothing is said.
    """
    known = settings.push_apps | apps_of_workers(redis)
    for provider, app in sorted(set(apps) - known if known else ()):
        there = ", ".join(sorted(other for one, other in known if one == provider)) or "none"
        sentence = f"there are no credentials for the {provider} app {app} (configured: {there}): it will not ring"
        click.secho(f"warning: {sentence}", fg="yellow", err=True)
