"""Settings of earlier versions that have no effect any more.

For one version, a removed setting is accepted with a warning: so an upgrade does not stop an installation. After that
it leaves REMOVED, and is reported like any other name that is no setting.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import structlog

from bellhop.settings.variables import CONFIG, SECRETS_DIR, variable

log = structlog.get_logger()

REMOVED = {
    "fcm_without_video": "Stream's Kotlin SDK reads from the call whether it has video, so every ring may say it",
}
"""The name of each removed setting, and why it is not needed."""


def without_removed(values: dict[str, Any]) -> dict[str, Any]:
    """Leave removed settings out."""
    return {name: value for name, value in values.items() if name not in REMOVED}


def removed_settings() -> list[str]:
    """Return a sentence for each removed setting that is still set: as a variable, a secret or in the TOML file."""
    return [
        f"{variable(name)} has no effect any more: {why}. Remove it: the next version refuses it."
        for name, why in REMOVED.items()
        if _is_set(name)
    ]


def warn_of_removed_settings() -> None:
    """Log a warning for each removed setting that is still set."""
    for sentence in removed_settings():
        log.warning("setting_removed", problem=sentence)


def _is_set(name: str) -> bool:
    folder, config = os.environ.get(SECRETS_DIR), os.environ.get(CONFIG)
    if os.environ.get(variable(name)) or (folder and (Path(folder) / name).is_file()):
        return True
    return name in tomllib.loads(Path(config).read_text("utf-8")) if config else False
