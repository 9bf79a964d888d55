"""Settings: the team's own pushes."""

from pathlib import Path

from bellhop.settings.field_types import ListOf, SettingsSection


class PushSettings(SettingsSection):
    """What pushes say and carry beside what Bellhop puts into them (docs/pushes.md)."""

    pushes_file: Path | None = None
    """TOML file with your own texts, sounds and data for pushes (docs/pushes.md). Workers read it when they start."""
    push_call_fields: ListOf[str] = []
    """Custom fields of the call that your own pushes may use; several separated by commas. The web process reads it."""
    push_caller_fields: ListOf[str] = []
    """Custom fields of the caller that your own pushes may use; several separated by commas. `image` is the caller's
    picture, a URL. The web process reads it."""
