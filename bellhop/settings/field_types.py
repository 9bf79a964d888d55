"""Types that the settings of more than one section use. A type reads its value from text and checks it."""

import json
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

SHORTEST_SECRET = 16

T = TypeVar("T")


class SettingsSection(BaseModel):
    """The base of every section. The docstring of a field is its description in docs/settings.md (reference.py)."""


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",")]


def _parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('must be a JSON list, such as [{"…": "…"}]') from None


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _has_certificate(path: Path) -> Path:
    import ssl  # noqa: PLC0415 - most installations set no such file

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise ValueError(f"{path} contains no certificate in PEM") from None
    return path


def is_host_name(host: str) -> bool:
    """Return whether it can be looked up, or is empty."""
    try:
        host.encode("idna")  # Python's look-up does this
    except UnicodeError:
        return False
    return True


def is_usable_url(url: str) -> bool:
    """Return whether it is an http or https URL whose host can be looked up."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and host != "" and port != 0 and is_host_name(host)


def _url(url: str) -> str:
    if not is_usable_url(url):
        raise ValueError("must be a URL, such as https://api.example.com")
    return url


def _proxy(url: str) -> str:
    if url and not is_usable_url(url):
        raise ValueError("must be the URL of a proxy, such as http://proxy.example.com:3128")
    return url


def _long_enough(secret: SecretStr) -> SecretStr:
    if 0 < len(secret.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(f"is too short: it must have at least {SHORTEST_SECRET} characters")
    return secret


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError("must be an IP address, or a network such as 192.0.2.0/24 without host bits") from None
    return text


def repeated(values: Iterable[str]) -> list[str]:
    """Return the values that occur more than once, sorted."""
    return sorted(value for value, times in Counter(values).items() if times > 1)


ListOf = Annotated[list[T], NoDecode, BeforeValidator(_split)]
"""A list. As text: values separated by commas, or JSON."""
TablesOf = Annotated[list[T], NoDecode, BeforeValidator(_parse_json)]
"""A list of apps: tables in the TOML file. As text: JSON."""
Network = Annotated[str, AfterValidator(_network)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
CaFile = Annotated[ReadableFile, AfterValidator(_has_certificate)]
Url = Annotated[str, AfterValidator(_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
"""An HTTP proxy. Empty means none."""
LongSecret = Annotated[SecretStr, AfterValidator(_long_enough)]
"""A secret that cannot be guessed. Empty means not set."""
