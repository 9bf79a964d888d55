"""Settings: how to connect to Redis."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from bellhop.settings.field_types import ReadableFile, SettingsSection, is_host_name
from bellhop.settings.variables import variable
from bellhop.store.redis_url import (
    MOST_PARTITIONS,
    PARTITIONS,
    PLAIN,
    RedisAddress,
    names_partitions,
    parse,
    shown_data,
    with_ca,
    with_partitions,
)


def _redis_url(url: str) -> str:
    parse(url)
    return url


def _own_url(url: str) -> str:
    """Refuse what redis-py would refuse at the first command, without the name of the setting."""
    address = parse(url)
    hosts = [address.server.get("host") or "", *(host for host, _ in (*address.sentinels, *address.nodes))]
    if not all(map(is_host_name, hosts)):
        raise ValueError("has a host that is not a host name")
    try:
        _try_options(address)
    except (TypeError, RedisError):
        raise ValueError("has an option behind the ? that does not exist, or a value that it cannot have") from None
    return url


def _try_options(address: RedisAddress) -> None:
    """Make a connection, and do not open it. Raises TypeError or RedisError for an option that it cannot have."""
    kind: Any = address.connection_class(Connection, SSLConnection, UnixDomainSocketConnection)
    options = {name: value for name, value in address.server.items() if name != "max_connections"}
    kind(**options | PLAIN)


def _former_url(url: str | None) -> str | None:
    if url is not None and not names_partitions(_redis_url(url)):
        raise ValueError("must say how many partitions the former installation has, such as ?partitions=16")
    return url


class RedisSettings(SettingsSection):
    """How to connect to Redis."""

    redis_url: Annotated[str, AfterValidator(_own_url), Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """URL of Redis or Valkey, version 6.2 or newer: redis://, rediss:// (TLS), unix://, with Sentinel
    redis+sentinel://host:port,host:port/service/0, or, for Redis Cluster, redis+cluster://host:port,host:port
    (docs/redis.md). If it is not set, REDIS_TLS_URL counts, then REDIS_URL, which many platforms set."""
    redis_former_url: Annotated[str | None, AfterValidator(_former_url), Field(repr=False)] = None
    """For some minutes after a move to another Redis, and only for web processes: the URL of the former one. Calls that
    began there still end there (docs/moving-redis.md). A CA certificate for it: &ssl_ca_certs=/path in the URL."""
    redis_ca_file: ReadableFile | None = None
    """CA certificate to trust for rediss://, instead of the system's CAs."""
    redis_partitions: Annotated[int, Field(ge=1, le=MOST_PARTITIONS)] = PARTITIONS
    """Only for Redis Cluster: into how many partitions Bellhop divides its data. The first start stores the number;
    after that, no process starts with another one."""
    redis_wait_replicas: Annotated[int, Field(ge=0, le=9)] = 0
    """Number of replicas that must have stored an event before Bellhop answers 200. Without them it answers 503, and
    Stream posts the event again."""

    # The URL alone must be enough to connect.

    @model_validator(mode="after")
    def _add_ca_to_redis_url(self) -> Self:
        if self.redis_ca_file is not None and "ssl_ca_certs" not in self.redis_url:
            if not self.redis_url.startswith("rediss"):
                raise ValueError(_no_effect("redis_ca_file", "rediss://, rediss+sentinel:// or rediss+cluster://"))
            self.redis_url = with_ca(self.redis_url, str(self.redis_ca_file))
        return self

    @model_validator(mode="after")
    def _add_partitions_to_redis_url(self) -> Self:
        if "redis_partitions" in self.model_fields_set:
            if not parse(self.redis_url).nodes:
                raise ValueError(_no_effect("redis_partitions", "redis+cluster:// or rediss+cluster://"))
            self.redis_url = with_partitions(self.redis_url, self.redis_partitions)
        return self

    @model_validator(mode="after")
    def _refuse_one_redis_twice(self) -> Self:
        if self.redis_former_url is not None and shown_data(self.redis_former_url) == shown_data(self.redis_url):
            raise ValueError(f"{variable('redis_former_url')} and {variable('redis_url')} name the same Redis")
        return self


def _no_effect(setting: str, starts: str) -> str:
    return f"{variable(setting)} has no effect: {variable('redis_url')} must begin with {starts}"
