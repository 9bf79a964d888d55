"""How Stream sends an app's events to Bellhop: the headers of a webhook, and the hooks in the app's settings at Stream.

The fields of the settings are those that Stream's server SDK reads (getstream 7.0.0: GetApplicationResponse).
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel

from bellhop.domain.device import NOT_REACHED
from bellhop.settings import StreamApp
from bellhop.stream_api import StreamApi

WEBHOOK_PATH = "/webhooks/stream"


def signed_headers(body: bytes, api_key: str, secret: str, webhook_id: str, attempt: int = 1) -> dict[str, str]:
    """Make the headers of a webhook with this body."""
    return {
        "Content-Type": "application/json",
        "X-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "X-Api-Key": api_key,
        "X-Webhook-Id": webhook_id,
        "X-Webhook-Attempt": str(attempt),
    }


class Hook(BaseModel):
    """Where Stream sends events of an app."""

    enabled: bool | None = None
    hook_type: str | None = None
    webhook_url: str | None = None
    sqs_queue_url: str | None = None
    sns_topic_arn: str | None = None
    event_types: list[str] | None = None
    """None or empty: all events."""

    @property
    def destination(self) -> tuple[str | None, ...]:
        """Where the events are sent."""
        return (self.webhook_url or None, self.sqs_queue_url or None, self.sns_topic_arn or None)

    def is_for(self, app: StreamApp) -> bool:
        """Tell whether Bellhop gets these events."""
        if self.sns_topic_arn:
            # A queue may subscribe to any topic, and only Amazon knows that.
            return bool(app.sqs_queue_url) or self.sns_topic_arn in app.sns_topics
        if self.sqs_queue_url:
            return self.sqs_queue_url == app.sqs_queue_url
        return urlsplit(self.webhook_url or "").path.rstrip("/").endswith(WEBHOOK_PATH)

    def sends(self, event_type: str) -> bool:
        """Tell whether events of this type are sent."""
        return not self.event_types or event_type in self.event_types


class _Provider(BaseModel):
    type: str | None = None


class _Switch(BaseModel):
    enabled: bool | None = None


class _PushSettings(BaseModel):
    providers: list[_Provider] | None = None
    huawei: _Switch | None = None
    xiaomi: _Switch | None = None
    """The last two fields are older than `providers`."""


class AppSettings(BaseModel):
    """An app's settings at Stream, as far as Bellhop reads them."""

    push_notifications: _PushSettings | None = None
    event_hooks: list[Hook] | None = None
    webhook_url: str | None = None
    webhook_events: list[str] | None = None
    sqs_url: str | None = None
    sns_topic_arn: str | None = None
    """The last four fields are older than `event_hooks`: they describe a single hook."""

    def hooks(self) -> Iterator[Hook]:
        listed = [hook for hook in self.event_hooks or [] if hook.enabled]
        yield from listed
        for old in (
            Hook(webhook_url=self.webhook_url, event_types=self.webhook_events),
            Hook(sqs_queue_url=self.sqs_url, event_types=self.webhook_events),
            Hook(sns_topic_arn=self.sns_topic_arn, event_types=self.webhook_events),
        ):
            # Stream may describe a hook of the list once more in the older fields.
            if old.destination not in [hook.destination for hook in listed]:
                yield old

    def unreachable(self) -> list[str]:
        """Return the names of the push providers of this app whose phones Bellhop does not reach."""
        push = self.push_notifications or _PushSettings()
        types = {provider.type for provider in push.providers or []}
        switched_on = {name for name in NOT_REACHED if (getattr(push, name) or _Switch()).enabled}
        return [NOT_REACHED[name] for name in sorted(NOT_REACHED) if name in types | switched_on]


class _Answer(BaseModel):
    app: AppSettings


class AppAtStream(NamedTuple):
    """What an app's settings at Stream say."""

    hooks: list[Hook]
    """Those hooks that are for Bellhop."""
    unreachable: list[str]
    """The names of the push providers whose phones Bellhop does not reach."""


async def read_app(api: StreamApi, app: StreamApp) -> AppAtStream:
    """Read the settings of an app. Raises StreamRefused."""
    read = (await api.get("/api/v2/app", _Answer)).app
    return AppAtStream([hook for hook in read.hooks() if hook.is_for(app)], read.unreachable())


async def hooks_for_bellhop(api: StreamApi, app: StreamApp) -> list[Hook]:
    """Read those hooks of the app that are for Bellhop. Raises StreamRefused."""
    return (await read_app(api, app)).hooks
