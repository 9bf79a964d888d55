"""Read the file of a team's own pushes (docs/pushes.md). All its mistakes are found at once, each with its line."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from bellhop.clock import Micros
from bellhop.domain.own_pushes import (
    IMAGE,
    NO_TEMPLATES,
    TEXT_FIELDS,
    ByLanguage,
    PushScope,
    PushTemplate,
    PushTemplates,
    known_values,
)
from bellhop.domain.payloads import ENGLISH, PushFacts, build_payload, most_bytes
from bellhop.domain.round import Recipient, Round
from bellhop.domain.text_template import InvalidTemplate, TextTemplate
from bellhop.settings.combined import Settings
from bellhop.settings.push_entry import PushEntry
from bellhop.settings.toml_lines import TomlLines
from bellhop.settings.variables import variable
from bellhop.validation_messages import describe_error

TABLES = "pushes"
"""The file's tables are [[pushes]]."""
_UUID = "00000000-0000-0000-0000-000000000000"


class OwnPushes(NamedTuple):
    """What the file contains, and a sentence for each mistake in it."""

    templates: PushTemplates
    problems: list[str]


def read_pushes(settings: Settings) -> OwnPushes:
    """Read the file that the settings name; without one, there are no templates."""
    path = settings.pushes_file
    if path is None:
        return OwnPushes(NO_TEMPLATES, [])
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        return OwnPushes(NO_TEMPLATES, [f"{variable('pushes_file')}: {path} cannot be read: {error.strerror}"])
    except ValueError as error:
        return OwnPushes(NO_TEMPLATES, [f"{variable('pushes_file')}: {path} is not valid TOML: {error}"])
    return _PushesFile(settings, path, text).read(content)


class _PushesFile:
    """Reads the tables of one file."""

    def __init__(self, settings: Settings, path: Path, text: str) -> None:
        self._path, self._lines = path, TomlLines(text, TABLES)
        self._apps = settings.push_apps
        self._known = known_values(settings.push_call_fields, settings.push_caller_fields)
        self._templates: dict[PushScope, PushTemplate] = {}
        self._numbers: dict[PushScope, int] = {}
        self.problems: list[str] = []

    def read(self, content: Mapping[str, Any]) -> OwnPushes:
        for name in content.keys() - {TABLES}:
            self._report(0, (name,), f"is not a table of this file: write [[{TABLES}]]")
        tables = content.get(TABLES, [])
        if not isinstance(tables, list):
            self._report(0, (), f"must be written [[{TABLES}]], with two brackets, because there can be several")
            tables = []
        for number, table in enumerate(tables, 1):
            self._read_table(number, table)
        templates = PushTemplates(self._templates)
        for scope, number in self._numbers.items():
            self._try(number, scope, templates)
        return OwnPushes(templates, self.problems)

    def _read_table(self, number: int, table: Any) -> None:
        try:
            entry = PushEntry.model_validate(table)
        except ValidationError as error:
            for detail in error.errors():
                self._report(number, detail["loc"], _message(detail))
            return
        scope = PushScope(entry.kind, entry.provider, entry.app, entry.call_type)
        if entry.app and self._apps and (entry.provider, entry.app) not in self._apps:
            known = ", ".join(sorted(app for provider, app in self._apps if provider == entry.provider))
            self._report(
                number, ("app",), f"there is no {entry.provider} app {entry.app}; available are {known or '-'}"
            )
        if scope in self._numbers:
            self._report(number, (), f"is for the same pushes as number {self._numbers[scope]}")
            return
        self._numbers[scope] = number
        self._templates[scope] = self._template(number, entry)

    def _template(self, number: int, entry: PushEntry) -> PushTemplate:
        texts = {
            name: self._by_language(number, name, given)
            for name in TEXT_FIELDS
            if (given := getattr(entry, name)) is not None
        }
        data = {key: self._compile(number, ("data", key), source) for key, source in entry.data.items()}
        return PushTemplate(
            texts=texts,
            data={key: template for key, template in data.items() if template},
            badge=entry.badge,
            interruption_level=entry.interruption_level or "",
            priority=entry.priority or "",
            analytics_label=entry.analytics_label,
        )

    def _by_language(self, number: int, name: str, given: str | Mapping[str, str]) -> ByLanguage:
        """Compile one text, or one for each language."""
        sources = {"": given} if isinstance(given, str) else given
        compiled = {
            language.lower().replace("_", "-"): self._compile(number, (name, language) if language else (name,), source)
            for language, source in sources.items()
        }
        return {language: template for language, template in compiled.items() if template}

    def _compile(self, number: int, path: Sequence[str], source: str) -> TextTemplate | None:
        try:
            return TextTemplate(source, self._known)
        except InvalidTemplate as error:
            self._report(number, path, f"{error}{_allow(str(error))}", further=error.line - 1)
            return None

    def _try(self, number: int, scope: PushScope, templates: PushTemplates) -> None:
        """Fill in the templates of a table with examples: all must work, and the team's data must fit."""
        template = templates.of(scope.kind, scope.provider, scope.app, f"{scope.call_type or 'default'}:{_UUID}")
        if template is None:
            return
        failed: set[str] = set()
        for round_ in _examples(scope):
            own = template.fill(scope.kind, round_, round_.recipients[0], "", ENGLISH)
            failed.update(own.left_out)
            facts = PushFacts(scope.kind, round_, round_.recipients[0], 0, 0, own=own._replace(left_out=()))
            built = build_payload(scope.provider, facts)
            if built.left_out and not failed:
                names, limit = ", ".join(reversed(built.left_out)), most_bytes(scope.provider, scope.kind)
                self._report(
                    number, ("data",), f"does not fit: without {names}, the push has {limit:,} bytes, its limit"
                )
                return
        for name in sorted(failed):
            path = (name,) if name in TEXT_FIELDS else ("data", name)
            self._report(
                number, path, "cannot be filled in with an example: a part of the template does not fit its value"
            )

    def _report(self, number: int, path: Sequence[int | str], message: str, further: int = 0) -> None:
        names = [str(part) for part in path]
        line = self._lines.line_of(number, names) + further
        field = ".".join(names) or (f"[[{TABLES}]] number {number}" if number else TABLES)
        self.problems.append(f"{self._path}, line {line}, {field}: {message}")


def _message(detail: Mapping[str, Any]) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(name, PushEntry.model_fields, n=1, cutoff=0.7)
        return f"is not a field of a push{f'; did you mean {near[0]}?' if near else ''}"
    if detail["type"] == "missing":
        return "is missing"
    return describe_error(detail)


def _allow(reason: str) -> str:
    """Say which setting allows a custom field that a template uses."""
    if "call.custom." in reason.partition(";")[0]:
        return f" (a custom field must be in {variable('push_call_fields')})"
    if "caller.custom." in reason.partition(";")[0] or f"caller.{IMAGE}" in reason.partition(";")[0]:
        return f" (it must be in {variable('push_caller_fields')})"
    return ""


def _examples(scope: PushScope) -> Iterator[Round]:
    """Make a call without names and custom fields, and one with names."""
    for name in ("", "Sara Lind"):
        yield Round(
            tenant="default",
            cid=f"{scope.call_type or 'default'}:{_UUID}",
            session_id=_UUID,
            started_at=Micros(0),
            deadline=Micros(0),
            caller_id=_UUID,
            caller_name=name or _UUID,
            call_name=name,
            video=bool(name),
            recipients=(Recipient(id=_UUID, name=name),),
        )
