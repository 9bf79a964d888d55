"""Load the settings, and say everything that is wrong with them at once, each in a sentence that names what to set."""

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_settings import SettingsError

from worker.settings.apps import SHORTHANDS
from worker.settings.model import CONFIG, PREFIX, SECRETS_DIR, Settings, variable

Role = Literal["web", "worker", "sqs"]


class ConfigurationError(Exception):
    """The settings are not usable. `problems` holds one sentence for each, saying what to set."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(role: Role | None = None) -> Settings:
    """Read the settings, and check that they hold what `role` needs.

    Raises ConfigurationError with every problem at once.
    """
    problems = [*_unknown_variables(), *_unknown_secrets()]
    config = os.environ.get(CONFIG)
    if config and not Path(config).is_file():
        problems.append(f"{CONFIG}: there is no file {config}")
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(problems + [_sentence(detail) for detail in error.errors()]) from None
    except SettingsError as error:
        # Raised of the first file too in a folder that cannot be read: that was said already.
        raise ConfigurationError(problems or [_no_value(error)]) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError([*problems, str(error)]) from None
    if role == "sqs" and not any(app.sqs_queue_url for app in settings.stream_apps):
        problems.append(f"{PREFIX}SQS_QUEUE_URL is not set: copy the queue's URL from Amazon's console")
    if role in {"web", "sqs"} and not settings.stream_apps:
        problems.append(
            f"{PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET are not set: copy them from Stream's dashboard"
        )
    if role == "worker" and not settings.apns_apps and not settings.fcm_apps:
        problems.append(
            f"no push provider is configured: set {PREFIX}APNS_TOPIC, {PREFIX}APNS_KEY_FILE, {PREFIX}APNS_KEY_ID and "
            f"{PREFIX}APNS_TEAM_ID for iPhones, {PREFIX}FCM_SERVICE_ACCOUNT_FILE for Android, or both"
        )
    if role == "worker" and settings.stream_fetches_per_s and not settings.stream_apps:
        problems.append(f"{PREFIX}STREAM_FETCHES_PER_S needs {PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET")
    if problems:
        raise ConfigurationError(problems)
    return settings


def _unknown_variables() -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG, SECRETS_DIR}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    near = {name: difflib.get_close_matches(name, known, n=1) for name in unknown}
    return [f"{name} is no setting" + (f"; did you mean {near[name][0]}?" if near[name] else "") for name in unknown]


def _unknown_secrets() -> list[str]:
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return []
    try:
        # What has a dot in its name is no setting: keys may lie in the folder too, and Kubernetes has links of its own.
        names = sorted(path.name for path in Path(folder).iterdir() if "." not in path.name)
    except OSError as error:
        return [f"{SECRETS_DIR}: {folder} cannot be read: {error.strerror}"]
    return [f"{SECRETS_DIR}: {name} is no setting" for name in names if name not in Settings.model_fields]


def _no_value(error: SettingsError) -> str:
    """Say which setting has no readable value, and why. Never shows the value: it may be a secret."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return str(error)
    why = error.__cause__
    if isinstance(why, OSError):
        return f"{SECRETS_DIR}: {named[1]} cannot be read: {why.strerror}"
    if isinstance(why, json.JSONDecodeError):
        return f"{variable(named[1])}: is not JSON: {why}"
    return f"{variable(named[1])}: has no readable value"


def _sentence(detail: Any) -> str:
    """Say one of pydantic's findings with the variable to set. Never shows the value: it may be a secret."""
    first, *rest = detail["loc"] or ("",)
    message = detail["msg"].removeprefix("Value error, ")
    shorthand = {field: name for name, field in SHORTHANDS.get(first, {}).items()}
    if detail["type"] == "missing":
        message = "is not set"
    if shorthand and rest[:1] == [0] and not os.environ.get(PREFIX + first.upper()):
        # Said of the one app that was made of settings for a single app: name those instead.
        if rest == [0]:
            named = {field: variable(setting) for field, setting in shorthand.items()}
            return re.sub(r"\w+", lambda word: named.get(word[0], word[0]), message)
        first, rest = shorthand.get(rest[1], first), rest[2:]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"{variable(first)}{place}: {message}" if first else message
