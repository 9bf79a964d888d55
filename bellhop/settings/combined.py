"""All settings in one class, and where their values come from."""

import os
from pathlib import Path
from typing import Any

from pydantic import model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bellhop.domain.device import Provider
from bellhop.settings.apple import APNS_SHORTHANDS, AppleSettings
from bellhop.settings.console import ConsoleSettings
from bellhop.settings.events import EventSettings
from bellhop.settings.google import FCM_SHORTHANDS, GoogleSettings
from bellhop.settings.limits import LimitSettings
from bellhop.settings.mail import MailSettings
from bellhop.settings.operations import OperationsSettings
from bellhop.settings.pushes import PushSettings
from bellhop.settings.redis import RedisSettings
from bellhop.settings.removed import without_removed
from bellhop.settings.sources import platform_values
from bellhop.settings.stream import STREAM_SHORTHANDS, StreamSettings
from bellhop.settings.variables import CONFIG, PREFIX, SECRETS_DIR, variable
from bellhop.settings.web import WebSettings
from bellhop.settings.web_push import WEB_PUSH_SHORTHANDS, WebPushSettings

SHORTHANDS = {
    "stream_apps": STREAM_SHORTHANDS,
    "apns_apps": APNS_SHORTHANDS,
    "fcm_apps": FCM_SHORTHANDS,
    "web_push_apps": WEB_PUSH_SHORTHANDS,
}
"""The settings for a single app, by the list of apps that they fill."""


# Pydantic takes the fields of the last base first: the order of docs/settings.md, and of what is reported as wrong.
class Settings(
    LimitSettings,
    EventSettings,
    OperationsSettings,
    ConsoleSettings,
    WebSettings,
    MailSettings,
    PushSettings,
    WebPushSettings,
    GoogleSettings,
    AppleSettings,
    StreamSettings,
    RedisSettings,
    BaseSettings,
):
    """Everything an operator can set. An environment variable wins over the TOML file that BELLHOP_CONFIG names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", env_ignore_empty=True)

    @model_validator(mode="before")
    @classmethod
    def _gather_single_apps(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Turn the settings for a single app into a list of one app. All other code reads only the lists."""
        values = without_removed(values)
        for apps, fields in SHORTHANDS.items():
            given = {field: values[name] for name, field in fields.items() if values.get(name)}
            if given and values.get(apps):
                raise ValueError(f"set either {variable(apps)} or the settings for a single app, not both")
            if given:
                values[apps] = [given]
        return values

    @property
    def carries_declines(self) -> bool:
        """Whether Bellhop rejects a ring at Stream when a phone reports a decline."""
        return bool(self.declines and self.receipt_secret.get_secret_value() and self.stream_apps)

    @property
    def tells_caller(self) -> bool:
        """Whether Bellhop tells the caller's app about a ring."""
        return bool(self.tell_caller and self.stream_apps)

    @property
    def sends_to_stream(self) -> bool:
        """Whether there may be jobs that send something to Stream."""
        return self.carries_declines or self.tells_caller

    @property
    def sends_emails(self) -> bool:
        """Whether there may be missed-call e-mails."""
        return bool(self.smtp_host) and self.mail_policy != "never"

    @property
    def push_apps(self) -> frozenset[tuple[str, str]]:
        """Return provider and app of all configured credentials."""
        apple = ((Provider.APNS, app.topic) for app in self.apns_apps)
        google = ((Provider.FCM, app.project_id) for app in self.fcm_apps)
        return frozenset([*apple, *google, *((Provider.WEB_PUSH, app.app) for app in self.web_push_apps)])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then the folder BELLHOP_SECRETS_DIR, then the TOML file BELLHOP_CONFIG.

        Last come the variables that a platform sets.
        """
        sources = [init_settings, env_settings]
        if (folder := os.environ.get(SECRETS_DIR)) and Path(folder).is_dir():
            sources.append(SecretsSettingsSource(settings_cls, folder, env_prefix=""))
        if config := os.environ.get(CONFIG):
            sources.append(TomlConfigSettingsSource(settings_cls, Path(config)))
        sources.append(InitSettingsSource(settings_cls, platform_values()))
        return tuple(sources)
