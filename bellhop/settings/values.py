"""Single values of the settings: how each is read from text, and what is wrong with it."""

import json
import re
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.store.blocking_client import parse


def _split(value: Any) -> Any:
    """Read a list from an environment variable: separated by commas, or JSON."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",")]


def _pairs(value: Any) -> Any:
    """Read a mapping from an environment variable: name=value, separated by commas."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and text.strip() for name, _, text in pairs):
        raise ValueError("must be name=value, several separated by commas")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _tables(value: Any) -> Any:
    """Read a list of apps from an environment variable or a file of its own: JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('is no JSON list, such as [{"…": "…"}]') from None


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _redis_url(url: str) -> str:
    parse(url)
    return url


def _call_url(template: str) -> str:
    if strange := set(re.findall(r"\{(.*?)\}", template)) - {"call_type", "call_id", "session_id", "user_id"}:
        raise ValueError(
            f"there is no {{{strange.pop()}}}; there are {{call_type}}, {{call_id}}, {{session_id}} and {{user_id}}"
        )
    if template and not re.match(r"[a-z][a-z0-9+.-]*://", template):
        raise ValueError("must begin with https:// or the scheme of your app")
    return template


def _templates(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    Texts(folder)
    Templates(folder)
    return folder


def _otlp_endpoint(url: str) -> str:
    if not url:
        return url
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError('needs OpenTelemetry: pip install ".[otel]" in a checkout of Bellhop')
    return url


def _sqs_queue_url(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("must be the queue's URL, https://sqs.…")
    if url and find_spec("boto3") is None:
        raise ValueError('needs boto3: pip install ".[aws]" in a checkout of Bellhop')
    return url


def _topic(arn: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+", arn):
        raise ValueError("must be a topic's ARN, arn:aws:sns:<region>:<account>:<name>")
    return arn


def _network(text: str) -> str:
    ip_network(text)
    return text


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("is no IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for every interface") from None
    return text


Address = Annotated[str, AfterValidator(_address)]
Listed = BeforeValidator(_split)
"""Lets a list be given as one text."""
Paired = BeforeValidator(_pairs)
"""The same for a mapping."""
Tables = BeforeValidator(_tables)
"""The same for a list of apps."""
CallUrl = Annotated[str, AfterValidator(_call_url)]
Network = Annotated[str, AfterValidator(_network)]
OtlpEndpoint = Annotated[str, AfterValidator(_otlp_endpoint)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
SqsQueueUrl = Annotated[str, AfterValidator(_sqs_queue_url)]
TemplatesFolder = Annotated[Path | None, AfterValidator(_templates)]
Topic = Annotated[str, AfterValidator(_topic)]
