"""All settings: one validated model, read from BELLHOP_* environment variables and an optional TOML file."""

from bellhop.settings.apple import ApnsApp
from bellhop.settings.combined import Settings
from bellhop.settings.given import settings_by_source
from bellhop.settings.google import FcmApp
from bellhop.settings.loading import ConfigurationError, Role, load
from bellhop.settings.reference import reference, setting_rows
from bellhop.settings.removed import removed_settings, warn_of_removed_settings
from bellhop.settings.soon_refused import credentials_twice, soon_refused, warn_of_soon_refused
from bellhop.settings.stream import StreamApp
from bellhop.settings.variables import CONFIG, PREFIX, SECRETS_DIR
from bellhop.settings.web_push import WebPushApp

__all__ = [
    "CONFIG",
    "PREFIX",
    "SECRETS_DIR",
    "ApnsApp",
    "ConfigurationError",
    "FcmApp",
    "Role",
    "Settings",
    "StreamApp",
    "WebPushApp",
    "credentials_twice",
    "load",
    "reference",
    "removed_settings",
    "setting_rows",
    "settings_by_source",
    "soon_refused",
    "warn_of_removed_settings",
    "warn_of_soon_refused",
]
