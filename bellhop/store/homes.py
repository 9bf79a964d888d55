"""The home of each key, and the partition where the home is. Pure.

A home is what a key is about: a call, a user, a push token. All keys of one home are in one partition of Redis, so one
script may use all of them. A single Redis is one partition. Only the store and the queue know of partitions
(docs/decisions/0020-a-key-has-a-home.md).
"""

import re
from binascii import crc32, crc_hqx
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

HomeKind = Literal["call", "user", "token", "e-mail", "address", "app", "installation", "partition"]
"""`app` is an app of a push provider. `partition`: each partition has such a key, and a script uses the key of its
partition."""

SLOTS = 16384
"""The hash slots of a Redis Cluster."""


class Home(NamedTuple):
    """What a key is about."""

    kind: HomeKind
    name: str
    """It chooses the partition. Empty: the key goes where the other keys of its command are."""


class _Rule(NamedTuple):
    """Where the name of the home is in a key: how many parts of the key are before the name, and how many behind it."""

    kind: HomeKind
    before: int = 0
    behind: int = 0
    skipped: int = 0
    """How many characters of that part are before the name."""


def _rules(rule: _Rule, *kinds: str) -> dict[str, _Rule]:
    return dict.fromkeys(kinds, rule)


_RULES: dict[str, _Rule] = {
    **_rules(_Rule("call"), "call", "rung", "trail", "told", "question", "rings-open"),
    **_rules(_Rule("call", behind=1), "round", "rings-of"),
    **_rules(_Rule("call", before=1), "outbox", "draining"),
    **_rules(_Rule("user"), "devices", "person", "phones", "held-back", "calls-of", "missed", "fetched"),
    **_rules(_Rule("user", behind=1), "writes", "test-rings", "exports", "rings-by", "rings-to", "mails-by"),
    **_rules(_Rule("token"), "token"),
    **_rules(_Rule("address"), "unsubscribed"),
    **_rules(_Rule("address", behind=1), "mails-to"),
    **_rules(_Rule("e-mail", skipped=32), "letter"),
    **_rules(_Rule("app"), "brake"),
    **_rules(_Rule("app", before=1, behind=1), "tokens"),
}
"""By the first part of a key behind `bellhop:`."""
_WITH_OTHERS: dict[str, HomeKind] = {
    "webhook": "call",
    "announced": "call",
    "letter-open": "e-mail",
    "mailed": "e-mail",
}
"""Keys that do not name their home. Another key of the same command names it."""
_BESIDE = dict.fromkeys(("forgotten-hash-key", "forgotten-lifts", "erasures"), "forgotten")
"""Kinds of keys of the installation that are in the partition of another kind: they change together."""
_IN_EACH_PARTITION = frozenset(
    {
        "worker",
        "workers",
        "buried",
        "inflight",
        "agenda",
        "bell",
        "calls",
        "calls-people",
        "copied",
        "stream-clock",
        "foreign-workers",
        "turns",
    }
)


@lru_cache(maxsize=4096)
def home_of(key: str) -> Home:
    """Return the home of a key. `key` may also be the start of keys."""
    space, kind, *rest = key.split(":")
    if space == "rq" or kind in _IN_EACH_PARTITION:
        return Home("partition", "")
    if kind in _WITH_OTHERS:
        return Home(_WITH_OTHERS[kind], "")
    if kind in _RULES:
        home, before, behind, skipped = _RULES[kind]
        return Home(home, ":".join(rest[before : len(rest) - behind])[skipped:])
    return Home("installation", _BESIDE.get(kind, kind))


def name_in_id(tenant: str, user_id: str) -> str:
    """Return the name of the home of all e-mails to a user. The id of an e-mail ends with it."""
    return f"{crc32(f'{tenant}:{user_id}'.encode('utf-8', 'surrogatepass')):08x}"


class Partition(NamedTuple):
    """A part of Redis that is always on one server."""

    tag: str = ""
    """The hash tag of its keys, such as `16.3`: the number of partitions, and a number. Empty on a single Redis."""

    def key(self, key: str) -> str:
        """Return the name of the key in this partition, such as `bellhop:{16.3}:agenda`. A key with a tag keeps it."""
        if not self.tag or tag_of(key):
            return key
        space, _, rest = key.partition(":")
        return f"{space}:{{{self.tag}}}:{rest}"


_TAGGED = re.compile(r"(bellhop|rq):\{([^{}]+)\}:")


def tag_of(key: str) -> str:
    """Return the tag in the name of a key; empty if it has none."""
    tagged = _TAGGED.match(key)
    return tagged[2] if tagged else ""


def without_tag(key: str) -> str:
    """Return the name that a key has on a single Redis, for its name in a partition."""
    tagged = _TAGGED.match(key)
    return f"{tagged[1]}:{key[tagged.end() :]}" if tagged else key


ALONE: Sequence[Partition] = (Partition(),)
"""The only partition of a single Redis. Its keys have no tag."""


def names_of(key: str, among: Sequence[Partition]) -> list[str]:
    """Return the names of a key: in each partition if each has such a key, else in the partition of its home."""
    home = home_of(key)
    in_these = among if home.kind == "partition" else (partition_of(home, among),)
    return [partition.key(key) for partition in in_these]


def partitions(count: int) -> Sequence[Partition]:
    """Return the partitions of a cluster. They are spread evenly over its slots, so each server gets equally many."""
    tags = (f"{count}.{number}" for number in range(SLOTS))
    by_share: dict[int, Partition] = {}
    """By the share of the slots that its slot is in. There are `count` shares."""
    for tag in tags:
        by_share.setdefault(slot_of(tag) * count // SLOTS, Partition(tag))
        if len(by_share) == count:
            break
    return tuple(by_share[share] for share in range(count))


def slot_of(tag: str) -> int:
    """Return the hash slot of all keys with this tag, as Redis computes it."""
    return crc_hqx(tag.encode(), 0) % SLOTS


def partition_with(key: str, among: Sequence[Partition]) -> Partition:
    """Return the partition of a key that names its home."""
    return among[0] if len(among) == 1 else partition_of(home_of(key), among)


def partition_of(home: Home, among: Sequence[Partition]) -> Partition:
    """Return the partition where the keys of a home are. It must never change: stored keys depend on it."""
    return among[crc32(home.name.encode("utf-8", "surrogatepass")) % len(among)]
