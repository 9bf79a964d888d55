"""Every setting with its default, what it may be and what it is for, as docs/settings.md shows it. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from bellhop.settings.model import CONFIG, PREFIX, SECRETS_DIR, Settings


def reference() -> str:
    """Every setting as a row of a Markdown table."""
    rows = ["| variable | default | what it may be | what it is for |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        rows.append(_row(PREFIX + name.upper(), _default(field), allowed(field), field.description or ""))
    rows.append(_row(CONFIG, "", "a file", "A TOML file with any of these settings, lower-case, without the prefix."))
    rows.append(_row(SECRETS_DIR, "", "a folder", "A file in it for each secret, named as in the TOML file."))
    return "\n".join(rows)


def allowed(field: FieldInfo) -> str:
    """Say what a setting may be, as far as the model knows: "`json` or `console`", "0 to 9", "a list"."""
    if get_origin(field.annotation) is Literal:
        *others, last = (f"`{choice}`" for choice in get_args(field.annotation))
        return f"{', '.join(others)} or {last}"
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
    """What a type is made of: Annotated[Path, …] | None has Path in it."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _row(variable: str, default: str, values: str, text: str) -> str:
    return f"| `{variable}` | {default} | {values} | {' '.join(text.split())} |"


def _default(field: FieldInfo) -> str:
    value = ",".join(field.default) if isinstance(field.default, list) else field.default
    return f"`{value}`" if value is not None and str(value) not in ("", "{}") else ""
