"""The table of all settings, as docs/settings.md shows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from bellhop.field_docs import field_docs
from bellhop.settings.combined import Settings
from bellhop.settings.variables import CONFIG, SECRETS_DIR, variable


class SettingRow(NamedTuple):
    """What there is to know about a setting. `default` and `values` are Markdown."""

    variable: str
    default: str
    values: str
    meaning: str


def setting_rows() -> Iterator[SettingRow]:
    """Describe every setting."""
    docs = field_docs(Settings)
    for name, field in Settings.model_fields.items():
        meaning = " ".join(docs.get(name, "").split())
        yield SettingRow(variable(name), _default(field), allowed(field), meaning)
    yield SettingRow(CONFIG, "", "a file", "TOML file with settings; names in lower case, without the prefix.")
    yield SettingRow(SECRETS_DIR, "", "a folder", "Folder with one file for each secret; names as in the TOML file.")


def reference() -> str:
    """Return a Markdown table with one row for each setting."""
    rows = [f"| `{row.variable}` | {row.default} | {row.values} | {row.meaning} |" for row in setting_rows()]
    return "\n".join(["| variable | default | allowed values | meaning |", "| --- | --- | --- | --- |", *rows])


def allowed(field: FieldInfo) -> str:
    """Say which values the type of a field allows: "`json` or `console`", "0 to 9", "a list"; "" if any text."""
    if get_origin(field.annotation) is Literal:
        *others, last = (f"`{choice}`" for choice in get_args(field.annotation))
        return f"{', '.join(others)} or {last}"
    if field.annotation is bool:
        return "`true` or `false`"
    least = next((part.ge for part in field.metadata if isinstance(part, Ge)), None)
    most = next((part.le for part in field.metadata if isinstance(part, Le)), None)
    if least is not None:
        return f"{least} to {most}" if most is not None else f"{least} or more"
    kind: Any = get_origin(field.annotation) or field.annotation
    if kind is list:
        return "a list"
    if kind is dict:
        return "pairs"
    return "a path" if Path in _parts(field.annotation) else ""


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and the types inside it: Annotated[Path, …] | None contains Path."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _default(field: FieldInfo) -> str:
    value = ",".join(field.default) if isinstance(field.default, list) else field.default
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value is not None and str(value) not in ("", "{}") else ""
