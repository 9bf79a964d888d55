"""Load the settings. All problems are reported at once, each in a sentence that names what to set."""

from collections.abc import Iterator
from typing import Literal

from pydantic import ValidationError
from pydantic_settings import SettingsError

from bellhop.settings.combined import Settings
from bellhop.settings.console import unusable_rights
from bellhop.settings.events import contradictions
from bellhop.settings.problems import (
    invalid_value,
    unknown_secret_files,
    unknown_variables,
    unreadable_file,
    unreadable_value,
)
from bellhop.settings.variables import PREFIX

Role = Literal["web", "worker", "sqs"]


class ConfigurationError(Exception):
    """The settings are invalid. `problems` has one sentence for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(role: Role | None = None) -> Settings:
    """Read the settings, and check that they contain what `role` needs.

    Raises ConfigurationError with all problems.
    """
    problems = [*unknown_variables(), *unknown_secret_files()]
    if unreadable := unreadable_file():  # its settings would be reported as not set, although they may be in the file
        raise ConfigurationError(problems + unreadable)
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(problems + [invalid_value(detail) for detail in error.errors()]) from None
    except SettingsError as error:
        # If the folder of secrets cannot be read, this is raised too, but `problems` has it already.
        raise ConfigurationError(problems or [unreadable_value(error)]) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError([*problems, str(error)]) from None
    problems += _missing_for(role, settings)
    if role == "worker":
        from bellhop.settings.pushes_file import read_pushes  # noqa: PLC0415 - only workers need Jinja's compiler

        problems += read_pushes(settings).problems
    if problems:
        raise ConfigurationError(problems)
    return settings


def _missing_for(role: Role | None, settings: Settings) -> list[str]:
    problems = []
    if role == "sqs" and not any(app.sqs_queue_url for app in settings.stream_apps):
        problems.append(f"{PREFIX}SQS_QUEUE_URL is not set: copy the queue's URL from Amazon's console")
    if role in {"web", "sqs"} and not settings.stream_apps:
        problems.append(
            f"{PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET are not set: copy them from Stream's dashboard"
        )
    if role == "worker" and not settings.push_apps:
        problems.append(
            f"no push provider is configured: set {PREFIX}APNS_TOPIC, {PREFIX}APNS_KEY_FILE, {PREFIX}APNS_KEY_ID and "
            f"{PREFIX}APNS_TEAM_ID for iPhones, {PREFIX}FCM_SERVICE_ACCOUNT_FILE for Android, or both"
        )
    tenants = [app.tenant for app in settings.stream_apps]
    problems += contradictions(settings, tenants, needs_secrets=role == "worker")
    problems += unusable_rights(settings, tenants)
    if role == "worker":
        problems += _missing_for_features(settings)
    return problems


def _missing_for_features(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each feature of workers that is switched on without what it needs."""
    for app in settings.web_push_apps:
        if not app.private_key.get_secret_value():
            names = f"{PREFIX}WEB_PUSH_PRIVATE_KEY and {PREFIX}WEB_PUSH_SUBJECT"
            yield f"the web app {app.app} has no private key: set {names}"
    if settings.second_way and not settings.receipt_secret.get_secret_value():
        yield f"{PREFIX}SECOND_WAY needs {PREFIX}RECEIPT_SECRET: only receipts show which phones are silent"
    if settings.badge and not settings.user_calls:
        yield f"{PREFIX}BADGE needs {PREFIX}USER_CALLS: without it, nobody counts missed calls"
    if settings.stream_fetches_per_s and not settings.stream_apps:
        yield f"{PREFIX}STREAM_FETCHES_PER_S needs {PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET"
