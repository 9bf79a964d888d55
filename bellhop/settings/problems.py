"""What is wrong with the settings, one sentence for each problem. It names what to set, and never shows a value."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_settings import SettingsError

from bellhop.settings.apple import ApnsApp
from bellhop.settings.combined import SHORTHANDS, Settings
from bellhop.settings.console import ConsoleGroup, ConsoleLogin
from bellhop.settings.events import EventEndpoint
from bellhop.settings.google import FcmApp
from bellhop.settings.removed import REMOVED
from bellhop.settings.sources import file_with, source_of
from bellhop.settings.stream import StreamApp
from bellhop.settings.variables import CONFIG, PREFIX, SECRETS_DIR, variable
from bellhop.settings.web_push import WebPushApp
from bellhop.validation_messages import describe_error

APPS: Mapping[str, type[BaseModel]] = {
    "stream_apps": StreamApp,
    "apns_apps": ApnsApp,
    "fcm_apps": FcmApp,
    "event_endpoints": EventEndpoint,
    "web_push_apps": WebPushApp,
    "console_logins": ConsoleLogin,
    "console_groups": ConsoleGroup,
}
"""The settings that are lists of tables, and the fields that a table may have."""
KUBERNETES_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")
"""Endings of the variables that Kubernetes sets in each pod for each Service, such as BELLHOP_WEB_SERVICE_HOST for the
Service bellhop-web (Kubernetes: Service, "Discovering services")."""
KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")
"""How the value of such a variable begins if its name ends in _PORT."""


def unknown_variables() -> list[str]:
    """Return a sentence for each BELLHOP_* variable that is not a setting."""
    known = {name.upper() for name in Settings.model_fields} | {
        CONFIG.removeprefix(PREFIX),
        SECRETS_DIR.removeprefix(PREFIX),
    }
    accepted = known | {name.upper() for name in REMOVED}
    names = sorted(name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    unknown = [name for name in names if name not in accepted and not _is_set_by_kubernetes(PREFIX + name)]
    return [f"{PREFIX}{name} is not a setting{_hint(name, known, PREFIX)}" for name in unknown]


def unknown_secret_files() -> list[str]:
    """Return a sentence for each file in the folder of secrets that is not a setting."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return []
    try:
        # Files with a dot are ignored: the folder may also hold key files, and Kubernetes adds links such as "..data".
        names = sorted(path.name for path in Path(folder).iterdir() if "." not in path.name)
    except OSError as error:
        return [f"{SECRETS_DIR}: {folder} cannot be read: {error.strerror}"]
    known = Settings.model_fields
    unknown = [name for name in names if name not in known and name not in REMOVED]
    return [f"{SECRETS_DIR}: {name} is not a setting{_hint(name, known)}" for name in unknown]


def unreadable_file() -> list[str]:
    """Return a sentence if the TOML file cannot be read. Its content is checked later."""
    config = os.environ.get(CONFIG)
    if not config:
        return []
    try:
        tomllib.loads(Path(config).read_text("utf-8"))
    except FileNotFoundError:
        return [f"{CONFIG}: the file {config} does not exist"]
    except OSError as error:
        return [f"{CONFIG}: {config} cannot be read: {error.strerror}"]
    except ValueError as error:
        return [f"{CONFIG}: {config} is not valid TOML: {error}"]
    return []


def unreadable_value(error: SettingsError) -> str:
    """Return a sentence about the setting whose text cannot be parsed. It never shows the value: it may be a secret."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return str(error)
    why = error.__cause__
    if isinstance(why, OSError):
        return f"{SECRETS_DIR}: {named[1]} cannot be read: {why.strerror}"
    return f"{variable(named[1])}: the value cannot be read"


def invalid_value(detail: Mapping[str, Any]) -> str:
    """Return a sentence about one of pydantic's errors. It never shows the value: it may be a secret."""
    setting, *path = detail["loc"] or ("",)
    if not setting:
        return describe_error(detail)
    message = _message(detail)
    fields = {field: name for name, field in SHORTHANDS.get(setting, {}).items()}
    if fields and path[:1] == [0] and not source_of(setting):
        # The app was made from the settings for a single app: name those.
        if path == [0]:
            return re.sub(r"\w+", lambda word: variable(fields[word[0]]) if word[0] in fields else word[0], message)
        setting, path = fields.get(path[1], setting), path[2:]
    return f"{_where(setting, path)}: {message}"


def _message(detail: Mapping[str, Any]) -> str:
    kind, value = detail["type"], detail["input"]
    setting, *path = detail["loc"]
    if kind == "missing":
        return "is not set"
    if kind == "extra_forbidden":
        known = APPS[setting].model_fields if path else Settings.model_fields
        return f"is not a setting{_hint(str(detail['loc'][-1]), known)}"
    if kind == "list_type" and setting in APPS and isinstance(value, dict):
        return f"must be written [[{setting}]], with two brackets, because there can be several"
    if isinstance(value, str) and KUBERNETES_PORT.match(value) and setting.endswith("_port"):
        service = variable(setting).removesuffix("_PORT").lower().replace("_", "-")
        return f"was set by Kubernetes for the Service {service}: set enableServiceLinks: false in the pod's spec"
    return describe_error(detail)


def _where(setting: str, path: list[int | str]) -> str:
    """Say where a value stands: `BELLHOP_WEB_PORT`, or `/etc/bellhop.toml, [[apns_apps]] number 1, topic`."""
    file = file_with(setting)
    if not file:
        return (source_of(setting) or variable(setting)) + _path(path)
    if setting in APPS and path and file == os.environ.get(CONFIG):
        table, *path = path
        return f"{file}, [[{setting}]] number {int(table) + 1}{', ' if path else ''}{_path(path).lstrip('.')}"
    return f"{file}, {setting}{_path(path)}"


def _path(path: Iterable[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _is_set_by_kubernetes(name: str) -> bool:
    by_name = KUBERNETES_SERVICE.search(name) is not None
    return by_name or (name.endswith("_PORT") and KUBERNETES_PORT.match(os.environ[name]) is not None)


def _hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {prefix}{similar[0]}?" if similar else ""
