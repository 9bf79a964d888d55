"""Settings: the endpoints of the team's backend to which events are sent (docs/events.md)."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from bellhop.domain.announcement import STREAM_DESTINATION, AnnouncementType
from bellhop.public_address import is_public, parse_networks
from bellhop.settings.field_types import CaFile, ListOf, Network, SettingsSection, TablesOf, is_usable_url, repeated
from bellhop.settings.stream import unknown_tenants
from bellhop.settings.variables import variable

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret, but how each begins
SECRET_BYTES = range(24, 65)
"""How long a secret is (Standard Webhooks, "Signature scheme")."""
LONGEST_URL = 2_000
ENDPOINTS, SECRETS = variable("event_endpoints"), variable("event_secrets")
ALLOWED = variable("event_allowed_networks")


def _endpoint_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise ValueError("must be 1 to 32 lower-case letters, digits and -, such as backend")
    if name == STREAM_DESTINATION:
        raise ValueError(f"must not be {STREAM_DESTINATION}: Bellhop uses this name for what it sends to Stream")
    return name


def _endpoint_url(url: str) -> str:
    parts = urlsplit(url) if is_usable_url(url) else None
    if parts is None or parts.fragment:
        raise ValueError("must be a URL, such as https://api.example.com/bellhop")
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > LONGEST_URL:
        raise ValueError(f"must be printable ASCII without spaces, at most {LONGEST_URL} characters")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user or a password: the signature proves who sends")
    return url


def _parse_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('must be a JSON object, such as {"backend": ["whsec_…"]}') from None


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError(
            f"must be {SECRET_PREFIX} and 24 to 64 random bytes in base64; make one with "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


class EventEndpoint(BaseModel):
    """One URL of the team's backend, and which events are sent to it. It contains no secret."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_endpoint_name)]
    """The name in logs, metrics and Redis."""
    url: Annotated[str, AfterValidator(_endpoint_url)]
    types: Annotated[ListOf[AnnouncementType], Field(min_length=1)] | None = None
    """The types of events; all, if it is not set."""
    tenants: Annotated[ListOf[str], Field(min_length=1)] | None = None
    """The Stream apps; all, if it is not set."""


class EventSettings(SettingsSection):
    """Where events are sent, and how they are signed."""

    event_endpoints: TablesOf[EventEndpoint] = []
    """URLs of your backend to which Bellhop sends events about rings: [[event_endpoints]] tables in the TOML file, or a
    JSON list in the variable (docs/events.md). Web processes and workers need the same value."""
    event_secrets: Annotated[
        dict[str, Annotated[list[Annotated[SecretStr, AfterValidator(_signing_secret)]], Field(min_length=1)]],
        NoDecode,
        BeforeValidator(_parse_object),
    ] = {}
    """The secrets that sign the events, for workers only: a JSON object, or a table in the TOML file, from the name of
    an endpoint to a list of secrets: {"backend": ["whsec_…"]}. Every secret of the list signs, so that a secret can be
    replaced."""
    event_allowed_networks: ListOf[Network] = []
    """Private addresses or networks (10.0.0.0/8) to which events may be sent; several separated by commas. All other
    endpoints must have a public address. An http:// URL is allowed only in these networks."""
    event_ca_file: CaFile | None = None
    """CA certificate to trust for the endpoints, instead of the system's CAs."""

    @field_validator("event_endpoints")
    @classmethod
    def _no_shared_name(cls, endpoints: list[EventEndpoint]) -> list[EventEndpoint]:
        if twice := repeated(endpoint.name for endpoint in endpoints):
            raise ValueError(f'two endpoints have the name "{twice[0]}": give each its own')
        return endpoints


def contradictions(settings: EventSettings, known_tenants: list[str], *, needs_secrets: bool) -> Iterator[str]:
    """Yield a sentence for each value that contradicts another one."""
    for endpoint in settings.event_endpoints:
        for sentence in _unreachable(endpoint, settings.event_allowed_networks):
            yield f'{ENDPOINTS}: "{endpoint.name}" {sentence}'
        yield from unknown_tenants(f'{ENDPOINTS}: "{endpoint.name}"', endpoint.tenants, known_tenants)
        if needs_secrets and endpoint.name not in settings.event_secrets:
            yield f'{SECRETS}: has no secret for the endpoint "{endpoint.name}"'
    names = {endpoint.name for endpoint in settings.event_endpoints}
    for name in sorted(settings.event_secrets.keys() - names):
        yield f'{SECRETS}: names the endpoint "{name}", which is not in the list of endpoints'


def _unreachable(endpoint: EventEndpoint, allowed: list[str]) -> Iterator[str]:
    url = urlsplit(endpoint.url)
    if url.scheme == "http" and not allowed:
        yield f"must have an https:// URL, or be in one of the allowed networks ({ALLOWED})"
        return
    try:
        address = str(ip_address(str(url.hostname)))
    except ValueError:
        return  # a name: its address is checked at each connection
    if not is_public(address, parse_networks(allowed)):
        yield f"has the address {address}, which is not public: add it to {ALLOWED}"
