"""Settings: how to connect to Redis."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from bellhop.settings.field_types import ReadableFile, SettingsSection
from bellhop.settings.variables import variable
from bellhop.store.redis_url import parse, with_ca


def _redis_url(url: str) -> str:
    parse(url)
    return url


class RedisSettings(SettingsSection):
    """How to connect to Redis."""

    redis_url: Annotated[str, AfterValidator(_redis_url), Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """URL of Redis or Valkey, version 6.2 or newer: redis://, rediss:// (TLS), unix://, or, with Sentinel,
    redis+sentinel://host:port,host:port/service/0 (docs/redis.md). If it is not set, REDIS_TLS_URL counts, then
    REDIS_URL, which many platforms set."""
    redis_ca_file: ReadableFile | None = None
    """CA certificate to trust for rediss://, instead of the system's CAs."""
    redis_wait_replicas: Annotated[int, Field(ge=0, le=9)] = 0
    """Number of replicas that must have stored an event before Bellhop answers 200. Without them it answers 503, and
    Stream posts the event again."""

    @model_validator(mode="after")
    def _add_ca_to_redis_url(self) -> Self:
        # The URL alone must be enough to connect.
        if self.redis_ca_file is not None and "ssl_ca_certs" not in self.redis_url:
            if not self.redis_url.startswith("rediss"):
                name, url = variable("redis_ca_file"), variable("redis_url")
                raise ValueError(f"{name} has no effect: {url} must begin with rediss:// or rediss+sentinel://")
            self.redis_url = with_ca(self.redis_url, str(self.redis_ca_file))
        return self
