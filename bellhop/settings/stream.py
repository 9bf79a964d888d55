"""Settings: Stream's apps, and Stream's REST API."""

import re
from collections.abc import Collection, Iterable, Iterator
from importlib.util import find_spec
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from bellhop.settings.field_types import ListOf, SettingsSection, TablesOf, Url, repeated

STREAM_SHORTHANDS = {
    "stream_api_key": "api_keys",
    "stream_api_secret": "api_secrets",
    "sqs_queue_url": "sqs_queue_url",
    "sns_topics": "sns_topics",
}
"""The settings for a single Stream app, and the field of StreamApp that each of them sets."""


def _sqs_queue_url(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("must be the queue's URL, https://sqs.…")
    if url and find_spec("boto3") is None:
        raise ValueError('needs boto3: pip install ".[aws]" in a checkout of Bellhop')
    return url


def _topic_arn(arn: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+", arn):
        raise ValueError("must be a topic's ARN, arn:aws:sns:<region>:<account>:<name>")
    return arn


def _pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and text.strip() for name, _, text in pairs):
        raise ValueError("must be name=value, several separated by commas")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _raise_if_repeated(keys: Iterable[str]) -> None:
    if twice := repeated(key.strip() for key in keys):
        raise ValueError(f"the API key {twice[0]} is listed twice: a key must belong to one app")


def unknown_tenants(where: str, tenants: Iterable[str] | None, known: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each Stream app that another setting names, but that is not configured.

    If no app is configured at all, as on a machine with workers only, every name is accepted.
    """
    for tenant in tenants or ():
        if known and tenant not in known:
            yield f"{where} names the Stream app {tenant}, which is not configured"


class StreamApp(BaseModel):
    """One app on Stream's dashboard: a tenant. Users, calls and devices of two tenants never mix."""

    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    """The app's name in Bellhop and in Redis."""
    api_keys: Annotated[ListOf[str], Field(min_length=1)]
    api_secrets: Annotated[ListOf[SecretStr], Field(min_length=1)]
    """A signature made with any of them is accepted, so that a secret can be rotated."""
    sqs_queue_url: Annotated[str, AfterValidator(_sqs_queue_url)] = ""
    """The Amazon SQS queue that holds the app's events."""
    sns_topics: ListOf[Annotated[str, AfterValidator(_topic_arn)]] = []
    """The Amazon SNS topics that post the app's events."""

    @field_validator("api_secrets")
    @classmethod
    def _no_empty_secret(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if any(not secret.get_secret_value().strip() for secret in secrets):
            raise ValueError("is empty: with an empty secret, anybody could sign webhooks")
        return secrets

    @field_validator("api_keys")
    @classmethod
    def _usable_keys(cls, keys: list[str]) -> list[str]:
        if any(not key.strip() for key in keys):
            raise ValueError("is empty: copy your app's key from Stream's dashboard")
        _raise_if_repeated(keys)
        return keys


class StreamSettings(SettingsSection):
    """Which Stream apps Bellhop serves, and how it calls Stream."""

    stream_api_key: ListOf[str] = []
    """API key of the Stream app; several separated by commas."""
    stream_api_secret: ListOf[SecretStr] = []
    """API secret of the Stream app; several separated by commas while you rotate it."""
    stream_apps: TablesOf[StreamApp] = []
    """Several Stream apps: [[stream_apps]] tables in the TOML file, or a JSON list in the variable. Use it instead of
    the settings for a single app (docs/configuration.md)."""
    sqs_queue_url: str = ""
    """URL of the Amazon SQS queue that holds the Stream app's events, for `bellhop sqs`. Needs the extra `aws`
    (docs/sqs.md)."""
    sns_topics: ListOf[str] = []
    """ARNs of the Amazon SNS topics that may post the Stream app's events to /webhooks/sns (docs/sqs.md); several
    separated by commas."""
    stream_api_url: Url = "https://chat.stream-io-api.com"
    """URL of Stream's REST API. Bellhop copies devices from it, asks it for the state of a ring, and `bellhop check`
    reads your app's configuration."""
    stream_device_apps: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)] = {}
    """The app (bundle id or Firebase project) of each push provider on Stream's dashboard: ios-voip=com.example.app,….
    A provider that is not listed belongs to the configured bundle or project, if there is only one."""
    stream_ios_providers: ListOf[str] = []
    """Push providers of type Firebase on Stream's dashboard with which iPhones register; several separated by commas.
    Set it before you copy devices: otherwise these iPhones do not show notices."""
    stream_fetches_per_s: Annotated[float, Field(ge=0, le=100)] = 0
    """If above 0: when a user without devices is called, Bellhop first copies the user's devices from Stream. The
    value is the maximum number of users per second, for all workers together. Stream allows 60 requests a minute,
    unless you have agreed on more."""

    stream_questions_per_s: Annotated[float, Field(ge=0, le=100)] = 2
    """How many times per second Bellhop may ask Stream for the state of a ring, for all processes together: before a
    missed-call notice that Stream did not ask for, and before a late attempt to ring. So a lost webhook does no harm. 0
    switches it off."""
    tell_caller: bool = False
    """Whether Bellhop tells the caller's app, by a custom event of Stream, when a ring reached a callee's phone, when
    the phone rings, and when no phone of a callee can be rung (docs/caller.md). Web processes and workers need it."""

    @property
    def tenants(self) -> list[str]:
        """The names of the Stream apps. Without Stream apps, as on a machine with workers only, it is "default"."""
        return [app.tenant for app in self.stream_apps] or ["default"]

    @property
    def has_several_tenants(self) -> bool:
        """Whether jobs of several Stream apps may wait. They also may if a worker's settings have no app."""
        return len(self.stream_apps) != 1

    @field_validator("stream_apps")
    @classmethod
    def _no_shared_api_key(cls, apps: list[StreamApp]) -> list[StreamApp]:
        _raise_if_repeated(key for app in apps for key in app.api_keys)
        return apps

    @field_validator("stream_apps")
    @classmethod
    def _no_shared_tenant(cls, apps: list[StreamApp]) -> list[StreamApp]:
        if twice := repeated(app.tenant for app in apps):
            raise ValueError(
                f'two apps have the tenant "{twice[0]}": give each app its own `tenant`, or their users and calls mix'
            )
        return apps
