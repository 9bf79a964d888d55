"""Where a setting gets its value from. A platform such as Heroku gives some values under names of its own."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from bellhop.settings.variables import CONFIG, SECRETS_DIR, variable

PLATFORM_NAMES: Mapping[str, tuple[str, ...]] = {
    "redis_url": ("REDIS_TLS_URL", "REDIS_URL"),
    "web_port": ("PORT",),
    "web_processes": ("WEB_CONCURRENCY",),
}
"""The variables of a platform that are read if nothing else gives the setting a value; the first that is set counts."""


def platform_values() -> dict[str, str]:
    """Return the values that the platform gives, by setting."""
    return {setting: os.environ[name] for setting in PLATFORM_NAMES if (name := _platform_name(setting))}


def source_of(setting: str) -> str:
    """Return the variable or the file that gives a setting its value; empty if it has its default."""
    if os.environ.get(variable(setting)):
        return variable(setting)
    return file_with(setting) or _platform_name(setting)


def file_with(setting: str) -> str:
    """Return the file that gives a setting its value; empty if a variable does, or nothing."""
    folder, config = os.environ.get(SECRETS_DIR), os.environ.get(CONFIG)
    if os.environ.get(variable(setting)):
        return ""
    if folder and (Path(folder) / setting).is_file():
        return str(Path(folder) / setting)
    return config if config and setting in tomllib.loads(Path(config).read_text("utf-8")) else ""


def _platform_name(setting: str) -> str:
    return next((name for name in PLATFORM_NAMES.get(setting, ()) if os.environ.get(name)), "")
