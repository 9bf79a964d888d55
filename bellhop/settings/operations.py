"""Settings: how calls are processed, and how Bellhop is watched."""

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from bellhop.clock import Seconds
from bellhop.settings.field_types import LongSecret, SettingsSection

FEWEST_KEPT_DAYS, MOST_KEPT_DAYS = 30, 3_650
"""A user may be on holiday for weeks, and must be rung afterwards."""


def _otlp_endpoint(url: str) -> str:
    if not url:
        return url
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError('needs OpenTelemetry: pip install ".[otel]" in a checkout of Bellhop')
    return url


def _kept_days(days: int) -> int:
    if days and not FEWEST_KEPT_DAYS <= days <= MOST_KEPT_DAYS:
        raise ValueError(f"must be 0, or a number of days from {FEWEST_KEPT_DAYS} to {MOST_KEPT_DAYS}")
    return days


class OperationsSettings(SettingsSection):
    """Limits and times of the worker, logs, metrics and traces."""

    worker_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    """One worker process has up to ten times this many rings in memory, and a quarter as many notices. Nearly all of
    them only wait for a provider."""
    max_pushes_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Number of pushes that one worker sends at the same time, for each provider and app. For Google it is at most
    128."""
    shutdown_grace_s: Annotated[Seconds, Field(ge=0, le=300)] = Seconds(20)
    """How long a worker waits for running jobs when it is stopped."""
    ring_default_s: Annotated[Seconds, Field(ge=5, le=180)] = Seconds(30)
    """How long a call rings if Stream's event does not say it, or says 0: then phones do not stop by themselves."""
    missed_grace_s: Annotated[Seconds, Field(ge=0, le=300)] = Seconds(5)
    """How long Bellhop waits for Stream's call.missed after a ring has ended. After that, it treats the call as
    missed."""
    trail_days: Annotated[int, Field(ge=1, le=365)] = 7
    """How long Bellhop keeps the history of a call, counted from the call's last webhook."""
    unused_device_days: Annotated[int, AfterValidator(_kept_days)] = 0
    """After how many days a worker removes a device that was not registered again and sent no receipt; at least 30. 0:
    devices are kept. Set it only if your app registers at every start (docs/privacy.md)."""
    unused_contact_days: Annotated[int, AfterValidator(_kept_days)] = 0
    """After how many days a worker removes the contact of a user, if neither contact nor preferences were written again
    and no device of the user was used; at least 30. 0: contacts are kept."""
    metrics_token: LongSecret = SecretStr("")
    """Bearer token for GET /metrics, at least 16 characters. If it is empty, the page is off."""
    otlp_endpoint: Annotated[str, AfterValidator(_otlp_endpoint)] = ""
    """URL to which traces are sent (OTLP over HTTP), such as http://collector:4318/v1/traces. Needs the extra
    `otel`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level of log lines to print."""
    log_format: Literal["json", "ecs", "console"] = "json"
    """`json` for machines, `ecs` for the Elastic Common Schema, `console` for people."""
