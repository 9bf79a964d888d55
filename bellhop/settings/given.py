"""Which settings are given, and where: what `bellhop check` shows, without the values."""

from bellhop.settings.combined import Settings
from bellhop.settings.sources import source_of
from bellhop.settings.variables import variable


def settings_by_source() -> dict[str, list[str]]:
    """Return the settings that have a value, by what gives it: "variables", a file, or a variable of the platform."""
    by_source: dict[str, list[str]] = {}
    for setting in Settings.model_fields:
        source = source_of(setting)
        if source == variable(setting):
            by_source.setdefault("variables", []).append(source)
        elif source:
            by_source.setdefault(source, []).append(setting)
    return by_source
