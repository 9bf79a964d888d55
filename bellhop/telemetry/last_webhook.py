"""When the last verified webhook of each Stream app came. A process adds what it saw to Redis every second."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from redis import Redis

from bellhop.clock import Micros, Seconds
from bellhop.domain.event_types import TEST_EVENT_TYPE
from bellhop.store.keys import LAST_WEBHOOK


class LastWebhook(NamedTuple):
    """A webhook that was taken."""

    at: Micros
    """By Redis's clock."""
    type: str
    age_s: float = 0.0
    """How long it was on its way, by Stream's stamp; 0 if it has none."""


class LastWebhooks:
    """What came since the last flush of this process, by tenant."""

    def __init__(self) -> None:
        self._last: dict[str, LastWebhook] = {}

    def note(self, tenant: str, event_type: str, at: Micros, age_s: Seconds = Seconds(0.0)) -> None:
        """Note a webhook, unless `bellhop check` sent it."""
        if event_type != TEST_EVENT_TYPE:
            self._last[tenant] = LastWebhook(at, event_type, round(age_s, 1))

    def flush(self, redis: Redis) -> None:
        """Write what was noted; if that fails, it is lost. Raises redis.exceptions.RedisError."""
        last, self._last = self._last, {}
        if last:
            redis.hset(LAST_WEBHOOK, mapping={tenant: json.dumps(webhook) for tenant, webhook in last.items()})


LAST_WEBHOOKS = LastWebhooks()


def read_last_webhooks(redis: Redis) -> Mapping[str, LastWebhook]:
    """Read the last webhook of each tenant. Raises redis.exceptions.RedisError."""
    answer: Mapping[bytes, bytes] = redis.hgetall(LAST_WEBHOOK)  # type: ignore[assignment]
    return {tenant.decode(): LastWebhook(*json.loads(text)) for tenant, text in answer.items()}
