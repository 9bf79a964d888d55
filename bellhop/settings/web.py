"""Settings: the web process and its API."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from bellhop.clock import Seconds
from bellhop.settings.field_types import ListOf, LongSecret, Network, SettingsSection


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("must be an IP address: 127.0.0.1 for this machine, 0.0.0.0 for every interface") from None
    return text


def _origin(text: str) -> str:
    if re.fullmatch(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?", text) is None:
        raise ValueError("must be an origin, such as https://app.example.com: scheme and host, without a path")
    return text


class WebSettings(SettingsSection):
    """How the web process listens, and who may use it."""

    web_host: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    """IP address on which the web process listens; 0.0.0.0 for every interface."""
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port on which the web process listens. If it is not set, PORT counts, which many platforms set."""
    web_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of operating system processes that serve requests. If it is not set, WEB_CONCURRENCY counts."""
    web_threads: Annotated[int, Field(ge=1, le=128)] = 8
    """Threads in each of these processes."""
    web_trusted_hops: Annotated[int, Field(ge=0, le=9)] = 0
    """Number of proxies in front of the web process that add the client's address to X-Forwarded-For. 0: the header
    is ignored (docs/proxies.md)."""
    web_origins: ListOf[Annotated[str, AfterValidator(_origin)]] = []
    """Origins of web pages, such as https://app.example.com, that may register devices, send receipts and read the Web
    Push key (CORS); several separated by commas. Empty: none."""
    webhook_networks: ListOf[Network] = []
    """Addresses or networks (192.0.2.0/24) that may post webhooks; several separated by commas. Empty: any address.
    The signature is checked in every case."""
    webhook_max_bytes: Annotated[int, Field(ge=1 << 20, le=64 << 20)] = 16 << 20
    """Size of the largest webhook, as sent and once inflated, in bytes. Stream does not repeat a webhook that is
    refused."""
    webhook_gzip_ratio: Annotated[int, Field(ge=20, le=1_100)] = 200
    """How many times larger a gzip webhook may be once inflated, beyond 64 KiB."""
    webhook_failures_per_minute: Annotated[int, Field(ge=1)] = 20
    """How many webhooks with a wrong signature one address may send for one API key in a minute. Beyond that, Bellhop
    answers each of them after a second, and inflates the address's bodies after those of others."""
    webhook_repeats_per_minute: Annotated[int, Field(ge=3)] = 10
    """How often a web process looks at the same webhook again in a minute. Stream posts a webhook at most three times.
    Further repeats get the same answer, and are only counted."""
    webhook_max_age_s: Annotated[Seconds, Field(ge=7_200, le=30 * 86_400)] = Seconds(86_400)
    """An event of a call that is older than this when its webhook arrives is dropped and counted. An Amazon SQS
    queue may have held it up."""
    webhook_unreadable_kept: Annotated[int, Field(ge=1, le=1_000)] = 20
    """How many webhooks that Bellhop cannot read are kept for each app and reason; of each, the first 64 KiB."""
    api_writes_per_minute: Annotated[int, Field(ge=1)] = 60
    """How often in a minute one user may change devices, contact and preferences with a user token."""
    api_audiences: ListOf[str] = []
    """Audiences (`aud`) of your Stream tokens, if they have any; several separated by commas. A token for another
    audience is refused, since it was made for another service."""
    api_page: bool = False
    """Whether GET /v1/docs shows the HTTP API on a page (Swagger UI, from the OpenAPI document). The page is for
    developers; a production system does not need it."""
    web_explain_lines: Annotated[int, Field(ge=50, le=10_000)] = 250
    """How many lines of trails one request may explain in the process that answers webhooks, at about 35 µs a line. The
    console's list shows the other calls when it is refreshed; GET /v1/calls explains a longer trail in a process of its
    own."""
    receipt_secret: LongSecret = SecretStr("")
    """Secret that signs the receipt in a push, at least 16 characters. With the receipt the phone can report that it
    rang (POST /v1/receipts)."""
    declines: bool = True
    """Whether Bellhop rejects a call at Stream if a phone reports with its receipt that the user declined. Then the
    caller's phone stops, too (docs/receipts.md). It needs BELLHOP_RECEIPT_SECRET and a Stream app."""

    live: bool = False
    """Whether GET /v1/calls/<cid>/live streams what becomes known about a ring, to the caller, the members and servers
    of the app. Set it for workers too. It needs `bellhop web`: another WSGI server keeps no streams open."""
    live_streams: Annotated[int, Field(ge=1, le=1_024)] = 1_000
    """How many of these streams one web process keeps open: at most a quarter of its connections."""
    live_streams_per_call: Annotated[int, Field(ge=1)] = 50
    """How many streams of one call one web process keeps open."""
    live_streams_per_user: Annotated[int, Field(ge=1)] = 4
    """How many streams one web process keeps open for the tokens of one user. The server tokens of one Stream app
    together may have half of BELLHOP_LIVE_STREAMS."""
    live_stream_s: Annotated[Seconds, Field(ge=1, le=3_600)] = Seconds(600)
    """After how many seconds a stream ends. It ends earlier if its token expires. The client then opens another stream,
    and its token is checked again."""

    user_calls: bool = False
    """Whether GET /v1/users/me/calls returns a user's latest calls, and marks missed calls that the user has not seen
    (docs/calls.md). Set it for workers too. It works without the console."""
