"""Replaces the ids and names of people in one entry of Redis: a line, a field or a document. Pure.

Only fields that hold ids and names are changed, since the id of a person may be a common word, such as "ring". An entry
that does not name the person is returned unchanged.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from bellhop.domain.json_text import encoded
from bellhop.privacy.people import Names, People
from bellhop.queue.job_payloads import PAYLOADS
from bellhop.queue.rq_job import as_json
from bellhop.trail import SHORT, VERSION

NAMELESS = "Unknown caller"
"""What phones and e-mails show in the place of a forgotten caller's name."""
IDS = frozenset({"id", "user", "user_id", "caller_id", "created_by_id", "callers", "users"})
"""The fields of documents that hold ids of users."""
OF_A_USER = ("name", "language", "email")
"""The other fields of a user in a document."""
FREE_TEXTS = frozenset({"call_name", "custom", "call_fields"})
"""The fields whose texts the team's users wrote: they may contain a name."""
NESTED = "document"
"""The field with an event as a text of JSON: an outbox has it for an event that is sent again."""
LISTS_OF_CALLERS = ("always_from", "never_from")
"""The fields of preferences that hold ids of callers."""
SHORTEST_NAME = 2
STRING = re.compile(r'"([^"\\]{1,255})"|([\w@.-]{1,255})')


class Entry(NamedTuple):
    """A field of a hash, a member of a sorted set with its score, an element of a list, or a string."""

    name: bytes
    value: bytes


class Context(NamedTuple):
    """What is known while the entries of one key are changed."""

    people: People
    tenant: str
    """The tenant in the key; empty if the key has none."""
    texts: set[str]
    """Names and ids of the people that were found. They are taken out of free texts."""

    @property
    def names(self) -> Names:
        """The function that recognizes the people of the key's tenant."""
        return self.people.of(self.tenant)

    def within(self, tenant: object) -> "Context":
        """Return the same for another tenant, which a document names."""
        return self._replace(tenant=tenant if isinstance(tenant, str) else "")


Change = Callable[[Context, Entry], Entry | None]
"""Returns what replaces an entry; None if it must be removed."""


def json_document(context: Context, value: Any, field: str = "", *, free: bool = False) -> Any:
    """Replace people in a JSON value. `free`: it is part of a text that users wrote."""
    if isinstance(value, dict):
        free = free or field in FREE_TEXTS
        return _of_the_person(
            context, value, {name: json_document(context, part, name, free=free) for name, part in value.items()}
        )
    if isinstance(value, list):
        return [json_document(context, part, field, free=free) for part in value]
    if not isinstance(value, str):
        return value
    if free or field in FREE_TEXTS:
        return without(value, context.texts)
    if field == NESTED:
        return document(context, Entry(b"", value.encode())).value.decode()
    return _replaced_id(context, value) if field in IDS else value


def _of_the_person(context: Context, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Remove the other data of a person whose id was replaced in this object."""
    if after.get("id") != before.get("id"):
        context.texts.update(str(before.get(name, "")) for name in ("name", "email"))
        after |= {name: "" for name in OF_A_USER if after.get(name)}
    if after.get("caller_id") != before.get("caller_id"):
        context.texts.add(str(before.get("caller_name", "")))
        if "caller_name" in after:
            after["caller_name"] = NAMELESS
        if "caller_fields" in after:
            after["caller_fields"] = {}
    return after


def _replaced_id(context: Context, text: str) -> str:
    other = context.names(text)
    if other:
        context.texts.add(text)
    return other or text


def without(text: str, names: Iterable[str]) -> str:
    """Take names out of a text that users wrote."""
    for name in sorted(names, key=len, reverse=True):
        if len(name) >= SHORTEST_NAME:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return text


def document(context: Context, entry: Entry) -> Entry:
    """Change a value that is JSON, or leave it if it is not."""
    value = _read(entry.value)
    changed = json_document(context, value)
    return entry if changed == value else entry._replace(value=encoded(changed))


def member(context: Context, entry: Entry) -> Entry:
    """Change a member of a sorted set that is JSON."""
    return entry._replace(name=document(context, Entry(b"", entry.name)).value)


def dead_letter(context: Context, entry: Entry) -> Entry:
    """Change a member of a sorted set of dead letters (`bellhop.dead_letters`)."""
    value = _read(entry.name)
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value) or not value:
        return entry
    nested = [_read(part) for part in value[2:3]]
    changed = json_document(context.within(value[0]), nested)
    return (
        entry
        if changed == nested
        else entry._replace(name=json.dumps([*value[:2], *map(_text, changed), *value[3:]]).encode())
    )


def suffix(context: Context, entry: Entry) -> Entry:
    """Change a name that ends with a user's id, after a colon; the id may have colons too."""
    text = entry.name.decode("utf-8", "surrogateescape")
    at = text.find(":")
    while at >= 0:
        if other := context.names(text[at + 1 :]):
            context.texts.add(text[at + 1 :])
            return entry._replace(name=(text[: at + 1] + other).encode("utf-8", "surrogateescape"))
        at = text.find(":", at + 1)
    return entry


def user_of_tenant(context: Context, entry: Entry) -> Entry:
    """Change a member of a set. The member has the form `tenant:user`."""
    tenant, _, user = entry.name.decode("utf-8", "surrogateescape").partition(":")
    other = context.within(tenant).names(user)
    return entry._replace(name=f"{tenant}:{other}".encode()) if other else entry


def round_field(context: Context, entry: Entry) -> Entry:
    """Change a field of a round: the facts, a recipient, a result, or the user for whom a device was rung."""
    entry = suffix(context, entry)
    if entry.value.startswith(b"{"):
        return document(context, entry)
    if entry.name.startswith(b"to:"):
        return entry._replace(value=_replaced_id(context, entry.value.decode("utf-8", "replace")).encode())
    return entry


def held_back(context: Context, entry: Entry) -> Entry | None:
    """Remove the time of a caller's ring that quiet hours held back."""
    return None if context.names(entry.name.decode("utf-8", "replace")) else entry


def wishes(context: Context, entry: Entry) -> Entry:
    """Take callers out of the lists in another user's preferences."""
    value = _read(entry.value) if entry.name == b"preferences" else None
    if not isinstance(value, dict):
        return entry
    lists = {name: value[name] for name in LISTS_OF_CALLERS if isinstance(value.get(name), list)}
    changed = {
        name: [caller for caller in callers if not context.names(str(caller))] for name, callers in lists.items()
    }
    return entry if changed == lists else entry._replace(value=encoded(value | changed))


def owner(context: Context, entry: Entry) -> Entry | None:
    """Remove the owner of a push token."""
    return None if context.names(entry.value.decode("utf-8", "replace")) else entry


def email_call(context: Context, entry: Entry) -> Entry | None:
    """Change a call of an e-mail; remove it if it was for the person."""
    if not entry.name.startswith(b"c:"):
        return entry
    value = _read(entry.value)
    if not isinstance(value, dict):
        return entry
    context = context.within(value.get("tenant"))
    changed = json_document(context, value)
    if changed.get("recipients") != value.get("recipients"):
        return None
    return entry if changed == value else entry._replace(value=encoded(changed))


def job_field(context: Context, entry: Entry) -> Entry:
    """Change the data of one of our jobs, as RQ stores it, deflated or not."""
    if entry.name != b"data":
        return entry
    try:
        text = as_json(entry.value)
        name, instance, (payload,), kwargs = _read(text)
    except (ValueError, TypeError):
        return entry
    if name not in PAYLOADS or not isinstance(payload, dict):
        return entry
    changed = json_document(context.within(payload.get("tenant")), payload)
    if changed == payload:
        return entry
    data = encoded([name, instance, [changed], kwargs])
    return entry._replace(value=data if text == entry.value else zlib.compress(data))


def unreadable_body(context: Context, entry: Entry) -> Entry | None:
    """Remove a kept webhook whose body names the person."""
    kept = _read(entry.value)
    body = kept.get("body") if isinstance(kept, dict) else None
    return None if names_somebody(context.names, str(body)) else entry


def names_somebody(names: Names, text: str) -> bool:
    """Return whether a string or a word in the text is the id of such a person."""
    return any(names(found) for match in STRING.finditer(text) for found in match.groups() if found)


def line_of_people(context: Context, entry: Entry) -> Entry:
    """Change a line of the console's search: the call, then the id and name of each person, between tabs."""
    parts = entry.value.decode("utf-8", "surrogateescape").split("\t")
    changed = parts[:1] + [_person_in_line(context, part) for part in parts[1:]]
    return entry if changed == parts else entry._replace(value="\t".join(changed).encode("utf-8", "surrogateescape"))


def _person_in_line(context: Context, part: str) -> str:
    words = part.split(" ")
    heads = (" ".join(words[:count]) for count in range(1, len(words) + 1))
    return next(filter(None, map(context.people.in_search(context.tenant), heads)), part)


def trail_line(context: Context, entry: Entry) -> Entry:
    """Change a line of a trail (`bellhop.trail`)."""
    line = _read(entry.value)
    if not isinstance(line, list) or len(line) != 4 or not isinstance(line[3], dict):
        return entry
    facts = _trail_facts(context, line[3], (lambda name: SHORT[name]) if line[0] == VERSION else str)
    return entry if facts == line[3] else entry._replace(value=encoded([*line[:3], facts]))


def _trail_facts(context: Context, facts: dict[str, Any], field: Callable[[str], str]) -> dict[str, Any]:
    changed, replaced = dict(facts), partial(_replaced_text, context)
    user, users, callers, names = map(field, ("user", "users", "callers", "names"))
    if changed.get(user) and (other := replaced(changed[user])) != changed[user]:
        changed[user] = other
        if label := changed.get(field("label")):
            context.texts.add(str(label))
            changed[field("label")] = f"{facts.get(field('provider'), '')} {facts.get(field('device'), '')[:6]}".strip()
    named = [*_texts(facts, callers)[:1], *_texts(facts, users)]
    for letter in (users, callers):
        if letter in changed:
            changed[letter] = [replaced(text) for text in _texts(facts, letter)]
    if names in changed:
        gone = [replaced(text) != text for text in named]
        shown = _texts(facts, names)
        context.texts.update(name for name, is_gone in zip(shown, gone, strict=False) if is_gone)
        changed[names] = ["" if number < len(gone) and gone[number] else name for number, name in enumerate(shown)]
    if field("learned") in changed:
        changed[field("learned")] = [_learned(context, text) for text in _texts(facts, field("learned"))]
    return changed


def _replaced_text(context: Context, text: Any) -> Any:
    return _replaced_id(context, text) if isinstance(text, str) else text


def _texts(facts: dict[str, Any], field: str) -> list[Any]:
    value = facts.get(field)
    return value if isinstance(value, list) else []


def _learned(context: Context, text: Any) -> Any:
    if not isinstance(text, str):
        return text
    name, at, moment = text.rpartition("@")
    return suffix(context, Entry(name.encode("utf-8", "replace"), b"")).name.decode() + at + moment


def _read(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec refuses some values that Python reads, such as NaN
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return encoded(value).decode()
