"""All settings: one validated model, read from BELLHOP_* environment variables and an optional TOML file."""

from bellhop.settings.apps import ApnsApp, FcmApp, StreamApp
from bellhop.settings.loading import ConfigurationError, Role, load
from bellhop.settings.model import CONFIG, PREFIX, SECRETS_DIR, Settings
from bellhop.settings.reference import reference

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
    "load",
    "reference",
]
