"""All settings: one validated model, read from BELLHOP_* environment variables and an optional TOML file."""

from worker.settings.apps import ApnsApp, FcmApp, StreamApp
from worker.settings.loading import ConfigurationError, Role, load
from worker.settings.model import CONFIG, PREFIX, SECRETS_DIR, Settings
from worker.settings.reference import reference

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
