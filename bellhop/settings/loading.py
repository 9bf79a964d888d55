"""Load the settings, and say everything that is wrong with them at once, each in a sentence that names what to set."""

from typing import Literal

from pydantic import ValidationError
from pydantic_settings import SettingsError

from bellhop.settings import problems as found
from bellhop.settings.model import PREFIX, Settings

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
    problems = [*found.of_variables(), *found.of_secrets()]
    if unreadable := found.of_file():  # what the file was to set would only seem to be missing
        raise ConfigurationError(problems + unreadable)
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(problems + [found.sentence(detail) for detail in error.errors()]) from None
    except SettingsError as error:
        # Raised of the first file too in a folder that cannot be read: that was said already.
        raise ConfigurationError(problems or [found.of_value(error)]) from None
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
