"""Exports all that is kept of a person in one document. The table that forgetting uses says where to look."""

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from bellhop.clock import as_datetime
from bellhop.field_docs import DocumentedModel
from bellhop.privacy.entries import Entry
from bellhop.privacy.people import OnePerson
from bellhop.privacy.walk import FoundKey, steps_of_keys
from bellhop.queue.rq_job import as_json
from bellhop.store.steps import Steps

PLACEHOLDER = "\0"
"""It replaces the person's id while entries are compared. No entry contains it."""
OF_OTHERS = ("recipients",)
"""Lists in documents that may name other users with their addresses: only the person's part is exported."""


class _ExportModel(DocumentedModel):
    model_config = ConfigDict(frozen=True)


class ExportedEntry(_ExportModel):
    """One entry that names the person."""

    name: str
    """The field of a hash, the member of a sorted set, or the place in a list, from 0."""
    value: Annotated[Any, Field(json_schema_extra={"description": "The value: JSON if it is JSON, otherwise a text."})]


class ExportedKey(_ExportModel):
    """What one key of Redis has of the person."""

    key: str
    about: str
    """What this kind of key holds."""
    entries: list[ExportedEntry]


class PersonExport(_ExportModel):
    """All that Bellhop keeps of a person (docs/privacy.md)."""

    app: str
    """The Stream app, by its name in Bellhop's settings."""
    user_id: str
    exported_at: datetime
    keys: list[ExportedKey]


def export(tenant: str, user_id: str) -> Steps[PersonExport]:
    """Read all keys, step by step."""
    people, keys, cursor = OnePerson(tenant, user_id, PLACEHOLDER), [], 0
    while True:
        cursor, found, now = yield from steps_of_keys(people, cursor)
        keys += [_exported(key, user_id) for key in found]
        if not cursor:
            keys.sort(key=lambda key: key.key)
            return PersonExport(app=tenant, user_id=user_id, exported_at=as_datetime(now), keys=keys)


def _exported(found: FoundKey, user_id: str) -> ExportedKey:
    entries = found.entries if found.whole else [entry for entry, _ in found.found]
    return ExportedKey(
        key=found.key, about=found.place.about, entries=[_exported_entry(entry, user_id) for entry in entries]
    )


def _exported_entry(entry: Entry, user_id: str) -> ExportedEntry:
    value = as_json(entry.value) if entry.name == b"data" else entry.value
    text = value.decode("utf-8", "replace")
    try:
        read = without_others(json.loads(text), user_id)
    except ValueError:
        read = text
    return ExportedEntry(name=entry.name.decode("utf-8", "replace"), value=read)


def without_others(value: Any, user_id: str) -> Any:
    """Leave out other recipients: a document may have their e-mail addresses."""
    if isinstance(value, list):
        return [without_others(part, user_id) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        name: [other for other in part if isinstance(other, dict) and other.get("id") == user_id]
        if name in OF_OTHERS and isinstance(part, list)
        else without_others(part, user_id)
        for name, part in value.items()
    }
