"""What is wrong with the settings, each in a sentence that names what to set and where it stands."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_settings import SettingsError

from bellhop.settings.apps import SHORTHANDS, ApnsApp, FcmApp, StreamApp
from bellhop.settings.model import CONFIG, PREFIX, SECRETS_DIR, Settings, variable
from bellhop.validation_messages import said

APPS: Mapping[str, type[BaseModel]] = {"stream_apps": StreamApp, "apns_apps": ApnsApp, "fcm_apps": FcmApp}
"""The settings that are tables, each with its own keys."""
OF_SERVICES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")
"""How the variables end that Kubernetes sets in each pod for each Service, such as BELLHOP_WEB_SERVICE_HOST for the
Service bellhop-web (Kubernetes: Service, "Discovering services")."""
ADDRESS_OF_SERVICE = re.compile(r"(tcp|udp|sctp)://")
"""How the value begins of the one of them that ends in _PORT."""


def of_variables() -> list[str]:
    """Variables that are no settings."""
    known = {name.upper() for name in Settings.model_fields} | {CONFIG.removeprefix(PREFIX), "SECRETS_DIR"}
    names = sorted(name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    unknown = [name for name in names if name not in known and not _of_a_service(PREFIX + name)]
    return [f"{PREFIX}{name} is no setting{_near(name, known, PREFIX)}" for name in unknown]


def of_secrets() -> list[str]:
    """Files in the folder of secrets that are no settings."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return []
    try:
        # What has a dot in its name is no setting: keys may lie in the folder too, and Kubernetes has links of its own.
        names = sorted(path.name for path in Path(folder).iterdir() if "." not in path.name)
    except OSError as error:
        return [f"{SECRETS_DIR}: {folder} cannot be read: {error.strerror}"]
    known = Settings.model_fields
    return [f"{SECRETS_DIR}: {name} is no setting{_near(name, known)}" for name in names if name not in known]


def of_file() -> list[str]:
    """Why the TOML file cannot be read; what it says is for `sentence`."""
    config = os.environ.get(CONFIG)
    if not config:
        return []
    try:
        tomllib.loads(Path(config).read_text("utf-8"))
    except FileNotFoundError:
        return [f"{CONFIG}: there is no file {config}"]
    except OSError as error:
        return [f"{CONFIG}: {config} cannot be read: {error.strerror}"]
    except ValueError as error:
        return [f"{CONFIG}: {config} is no TOML: {error}"]
    return []


def of_value(error: SettingsError) -> str:
    """Say which setting has no readable value, and why. Never shows the value: it may be a secret."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return str(error)
    why = error.__cause__
    if isinstance(why, OSError):
        return f"{SECRETS_DIR}: {named[1]} cannot be read: {why.strerror}"
    return f"{variable(named[1])}: has no readable value"


def sentence(detail: Mapping[str, Any]) -> str:
    """Say one of pydantic's findings, with what to set. Never shows the value: it may be a secret."""
    first, *rest = detail["loc"] or ("",)
    message, value = said(detail), detail["input"]
    if not first:
        return message
    if detail["type"] == "missing":
        message = "is not set"
    elif detail["type"] == "extra_forbidden":
        known = APPS[first].model_fields if rest else Settings.model_fields
        message = f"is no setting{_near(str(detail['loc'][-1]), known)}"
    elif detail["type"] == "list_type" and first in APPS and isinstance(value, dict):
        message = f"is written [[{first}]], with two brackets: there may be several"
    elif isinstance(value, str) and ADDRESS_OF_SERVICE.match(value) and first.endswith("_port"):
        service = variable(first).removesuffix("_PORT").lower().replace("_", "-")
        message = f"was set by Kubernetes for the Service {service}: set enableServiceLinks: false in the pod's spec"
    shorthand = {field: name for name, field in SHORTHANDS.get(first, {}).items()}
    if shorthand and rest[:1] == [0] and not _file_of(first) and not os.environ.get(variable(first)):
        # Said of the one app that was made of settings for a single app: name those instead.
        if rest == [0]:
            named = {field: variable(setting) for field, setting in shorthand.items()}
            return re.sub(r"\w+", lambda word: named.get(word[0], word[0]), message)
        first, rest = shorthand.get(rest[1], first), rest[2:]
    return f"{_where(first, rest)}: {message}"


def _where(setting: str, path: list[int | str]) -> str:
    file = _file_of(setting)
    if not file:
        return variable(setting) + _path(path)
    if setting in APPS and path and file == os.environ.get(CONFIG):
        table, *path = path
        return f"{file}, [[{setting}]] number {int(table) + 1}{', ' if path else ''}{_path(path).lstrip('.')}"
    return f"{file}, {setting}{_path(path)}"


def _path(path: Iterable[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _file_of(setting: str) -> str:
    """Name the file that gives a setting its value; empty if a variable does, or nothing."""
    folder, config = os.environ.get(SECRETS_DIR), os.environ.get(CONFIG)
    if os.environ.get(variable(setting)):
        return ""
    if folder and (Path(folder) / setting).is_file():
        return str(Path(folder) / setting)
    return config if config and setting in tomllib.loads(Path(config).read_text("utf-8")) else ""


def _of_a_service(name: str) -> bool:
    value = os.environ[name]
    return bool(OF_SERVICES.search(name) or (name.endswith("_PORT") and ADDRESS_OF_SERVICE.match(value)))


def _near(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
