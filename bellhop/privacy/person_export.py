"""Exports all that is kept of a person in one document. The table that forgetting uses says where to look.

Other people have rights, too (GDPR, Article 15(4)): what the person shares with others is shown with their ids alone,
and what belongs to another user is left out.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from bellhop.clock import Micros, as_datetime
from bellhop.domain.announcement import PRIVATE_FIELDS
from bellhop.field_docs import DocumentedModel
from bellhop.privacy.entries import Context, Entry
from bellhop.privacy.key_kinds import OF_TWO_USERS, KeyKind, context_of
from bellhop.privacy.people import OTHER, EveryoneElse, OnePerson
from bellhop.privacy.walk import KEYS_AT_ONCE, STARTS, FoundKey, steps_of_keys
from bellhop.queue.rq_job import as_json
from bellhop.store.homes import Partition
from bellhop.store.scanning import Walk, walk_over
from bellhop.store.steps import Steps

PLACEHOLDER = "\0"
"""It replaces the person's id while entries are compared. No entry contains it."""
OF_OTHERS = ("recipients",)
"""Lists in documents that may name other users: only the person's part is exported."""
LEFT_OUT = "left out, since it may have data of other people"


class _ExportModel(DocumentedModel):
    model_config = ConfigDict(frozen=True)


class ExportedEntry(_ExportModel):
    """One entry that names the person."""

    name: str
    """The field of a hash, the member of a sorted set, or the position in a list, from 0."""
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


def export(tenant: str, user_id: str, among: Sequence[Partition]) -> Steps[PersonExport]:
    """Read all keys of these partitions, step by step."""
    person, keys, now = OnePerson(tenant, user_id, PLACEHOLDER), [], Micros(0)
    walk: Walk | None = walk_over(STARTS, among, KEYS_AT_ONCE)
    while walk:
        walk, found, now = yield from steps_of_keys(person, walk)
        keys += [_exported(key, person) for key in found if key.whole or key.kind.start not in OF_TWO_USERS]
    keys.sort(key=lambda key: key.key)
    return PersonExport(app=tenant, user_id=user_id, exported_at=as_datetime(now), keys=keys)


def _exported(found: FoundKey, person: OnePerson) -> ExportedKey:
    if found.whole:
        shown = [_exported_entry(entry, person.user_id) for entry in found.entries]
    else:
        shown = _without_others(found, person)
    return ExportedKey(key=found.key, about=found.kind.about, entries=shown)


def _without_others(found: FoundKey, person: OnePerson) -> list[ExportedEntry]:
    """Replace everybody else by the functions that forgetting uses. So other people's names are in no form of entry."""
    context = context_of(found.key, found.kind, EveryoneElse(person))
    for entry in found.entries:  # this finds the names to remove from texts that users wrote
        _changed(found.kind, context, entry)
    return [
        _exported_entry(_changed(found.kind, context, entry) or entry._replace(value=LEFT_OUT.encode()), person.user_id)
        for entry, _ in found.found
    ]


def _changed(kind: KeyKind, context: Context, entry: Entry) -> Entry | None:
    assert kind.change is not None  # noqa: S101 - the key is not the person's alone
    return kind.change(context, entry)


def _exported_entry(entry: Entry, user_id: str) -> ExportedEntry:
    value = as_json(entry.value) if entry.name == b"data" else entry.value
    name = _own_part(_read(entry.name), user_id)
    if isinstance(name, dict):  # a member of the console's audit names the operator, who is another person
        name.pop("by", None)
    return ExportedEntry(
        name=json.dumps(name) if isinstance(name, list | dict) else _unmarked(entry.name.decode("utf-8", "replace")),
        value=_own_part(_read(value), user_id),
    )


def _read(stored: bytes | str) -> Any:
    """Read JSON. Any other text is returned as it is."""
    text = stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
    try:
        return json.loads(text)
    except ValueError:
        return text


def _own_part(value: Any, user_id: str) -> Any:
    """Leave out other recipients, and why a ring did not reach another user; and remove the marks."""
    if isinstance(value, str):
        document = _read(value) if value.startswith("{") else None
        return json.dumps(_own_part(document, user_id)) if isinstance(document, dict) else _unmarked(value)
    if isinstance(value, list):
        return [_own_part(part, user_id) for part in value]
    if not isinstance(value, dict):
        return value
    hidden = PRIVATE_FIELDS if str(value.get("user_id", "")).startswith(OTHER) else frozenset()
    return {
        name: _own_part(_only(user_id, part) if name in OF_OTHERS and isinstance(part, list) else part, user_id)
        for name, part in value.items()
        if name not in hidden
    }


def _only(user_id: str, users: list[Any]) -> list[Any]:
    return [user for user in users if isinstance(user, dict) and user.get("id") == user_id]


def _unmarked(text: str) -> str:
    return text.replace(OTHER, "")
