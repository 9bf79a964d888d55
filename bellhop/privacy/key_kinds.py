"""Where a person is: every kind of Redis key that holds people's ids, names, addresses or tokens. Pure.

Forgetting, the export and a test share this table. A key that is not in it names no person.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from bellhop.clock import Micros
from bellhop.privacy import entries
from bellhop.privacy.entries import Change, Context, Entry
from bellhop.privacy.people import People
from bellhop.store import keys
from bellhop.store.homes import without_tag

EMAILS = keys.start_of(keys.email_key(""))
"""The start of the keys of e-mails that wait."""
DEVICES = keys.start_of(keys.devices_key("", ""))
OWNERS = keys.start_of(keys.owner_key("", ""))
"""The starts of the keys of devices, and of the owners of push tokens."""
OUTBOXES = keys.start_of(keys.outbox_key("", "", ""))
"""The start of the keys of outboxes. They name a destination before the tenant."""
DYING = keys.token_window_key("dying-users", "", "", 0).removesuffix("::0")
"""The start of the keys of users whose tokens died lately."""
WITHOUT_TENANT = (EMAILS, DYING, keys.start_of(keys.dead_letters_key("")), keys.start_of(keys.rq_job_key("")))
"""The starts of keys that do not name the tenant. Their values name it."""
KeyType = Literal["hash", "list", "set", "zset", "string"]


class KeyKind(NamedTuple):
    """A kind of key."""

    start: str
    type: KeyType
    about: str
    """What the key holds about a person, for the export."""
    change: Change | None = None
    """How its entries are changed; None if the whole key belongs to one user."""
    after: str = ""
    """What follows the user's id in the key, such as "minute"; empty if nothing follows."""

    @property
    def counts_changes(self) -> str:
        """The field of the hash that counts its changes; empty if it has none."""
        return "version" if self.start == keys.CALL_PREFIX else ""


def _of_user(key: str, type_: KeyType, about: str, after: str = "") -> KeyKind:
    return KeyKind(keys.start_of(key), type_, about, after=after)


def _shared(key: str, type_: KeyType, about: str, change: Change) -> KeyKind:
    return KeyKind(keys.start_of(key), type_, about, change)


KEY_KINDS = (
    _of_user(keys.devices_key("", ""), "hash", "devices and their push tokens"),
    _shared(
        keys.user_key("", ""), "hash", "contact, preferences, disabled phones, times that Stream gives", entries.wishes
    ),
    _of_user(keys.phones_key("", ""), "hash", "what the user's phones reported about themselves"),
    _of_user(keys.calls_of_user_key("", ""), "zset", "calls that the user made or was called in"),
    _of_user(keys.missed_calls_key("", ""), "zset", "missed calls that the user has not seen"),
    _of_user(keys.lookup_key("", ""), "string", "that the user's devices were looked up at Stream"),
    _of_user(keys.writes_key("", "", 0), "string", "how many changes the user made in a minute", "minute"),
    _of_user(keys.test_rings_key("", "", 0), "string", "how many test rings the user had in a minute", "minute"),
    _of_user(keys.exports_key("", "", 0), "string", "how many exports the user asked for in an hour", "hour"),
    _of_user(keys.rings_by_key("", "", 0), "hash", "rings that the user began in a minute", "minute"),
    _of_user(keys.rings_to_key("", "", 0), "hash", "rings for the user in a minute", "minute"),
    _of_user(keys.emails_by_key("", "", 0), "set", "e-mails of an hour about calls of the user", "hour"),
    _shared(keys.held_back_key("", ""), "hash", "rings that quiet hours held back", entries.held_back),
    _shared(keys.owner_key("", ""), "string", "who has a push token", entries.owner),
    _shared(keys.call_key("", ""), "hash", "who answered, declined or left a call", entries.suffix),
    _shared(keys.rung_key("", ""), "zset", "who was rung in earlier rounds of a call", entries.suffix),
    _shared(keys.round_key("", "", Micros(0)), "hash", "rings: caller, callees, results", entries.round_field),
    _shared(keys.trail_key("", ""), "list", "the audit trail of calls", entries.trail_line),
    _shared(keys.outbox_key("", "", ""), "list", "announcements that are not sent yet", entries.document),
    _shared(keys.dead_letters_key(""), "zset", "events that could not be sent", entries.dead_letter),
    _shared(keys.console_audit_key(""), "zset", "looks and changes in the console", entries.member),
    _shared(keys.email_key(""), "hash", "missed calls that an e-mail collects", entries.email_call),
    _shared(keys.unreadable_key("", ""), "list", "webhooks that could not be read", entries.unreadable_body),
    _shared(keys.people_of_calls_key(""), "list", "people of calls, for the console's search", entries.line_of_people),
    KeyKind(DYING, "set", "users whose push tokens died in the last minutes", entries.user_of_tenant),
    _shared(keys.rq_job_key(""), "hash", "jobs that wait, run or have failed", entries.job_field),
)
"""All kinds of keys that hold a person."""
OF_TWO_USERS = (keys.start_of(keys.held_back_key("", "")), keys.start_of(keys.user_key("", "")))
"""The starts of keys that belong to one user, with entries that name callers."""
READS: dict[KeyType, Callable[[str], tuple[str | int, ...]]] = {
    "hash": lambda key: ("HGETALL", key),
    "list": lambda key: ("LRANGE", key, 0, -1),
    "set": lambda key: ("SMEMBERS", key),
    "zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    "string": lambda key: ("GET", key),
}


def kind_of_key(key: str) -> KeyKind | None:
    """Return the kind of a key; None if it names no person."""
    name = without_tag(key)
    return next((kind for kind in KEY_KINDS if name.startswith(kind.start)), None)


def known_kind(key: str) -> KeyKind:
    """Return the kind of a key that the table is known to have."""
    kind = kind_of_key(key)
    assert kind is not None  # noqa: S101 - the caller has built the key by `keys`
    return kind


def context_of(key: str, kind: KeyKind, people: People) -> Context:
    """Return what is known of a key before its entries are read."""
    return Context(people, parts_of(key, kind)[0], set())


def belongs_to(key: str, kind: KeyKind, people: People) -> bool:
    """Return whether the whole key is about one of these people."""
    if kind.change is not None and kind.start not in OF_TWO_USERS:
        return False
    tenant, user = parts_of(key, kind)
    return bool(people.of(tenant)(user.rpartition(":")[0] if kind.after else user))


def parts_of(key: str, kind: KeyKind) -> tuple[str, str]:
    """Return the tenant in a key (empty if it has none), and what follows it."""
    rest = without_tag(key).removeprefix(kind.start)
    if kind.start in WITHOUT_TENANT:
        return "", rest
    if kind.start == OUTBOXES:
        rest = rest.partition(":")[2]
    tenant, _, rest = rest.partition(":")
    return tenant, rest


def read_entries(kind: KeyKind, answer: object) -> list[Entry]:
    """Read the entries from Redis's answer to the command of READS."""
    if isinstance(answer, dict):
        return [Entry(name, value) for name, value in answer.items()]
    if not isinstance(answer, list | set):
        return [Entry(b"", answer)] if isinstance(answer, bytes) else []
    values: Sequence[Any] = list(answer)
    if kind.type == "set":
        return [Entry(value, b"") for value in values]
    if kind.type == "list":
        return [Entry(str(index).encode(), value) for index, value in enumerate(values)]
    if kind.type == "zset":
        return [Entry(name, _score(score)) for name, score in with_scores(values)]
    return [Entry(name, value) for name, value in zip(values[::2], values[1::2], strict=True)]


def with_scores(answer: Sequence[Any]) -> Iterable[tuple[bytes, Any]]:
    """Read members with their scores, in either version of Redis's protocol."""
    in_pairs = bool(answer) and isinstance(answer[0], list | tuple)
    return answer if in_pairs else zip(answer[::2], answer[1::2], strict=True)


def _score(score: object) -> bytes:
    return score if isinstance(score, bytes) else repr(score).encode()


class Found(NamedTuple):
    """An entry that names a person, and what replaces it; None if it is removed."""

    entry: Entry
    change: Entry | None


def found_in(context: Context, kind: KeyKind, stored: Sequence[Entry]) -> list[Found]:
    """Return the entries that name these people, with their changes.

    If an entry names a person, all entries are changed once more: only then are all names known that must be taken out
    of the texts that users wrote.
    """
    if kind.change is None:
        return []
    changes = [kind.change(context, entry) for entry in stored]
    if changes == list(stored):
        return []
    pairs = [Found(entry, kind.change(context, entry)) for entry in stored]
    return [pair for pair in pairs if pair.change != pair.entry]
