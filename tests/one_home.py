"""Watches what Redis runs. The keys of each command must name one home, and so one partition of a cluster.

A script must also use no key that its caller does not give it.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import redis

from bellhop.store import scripts
from bellhop.store.homes import Home, home_of, partitions, without_tag
from bellhop.store.routing import keys_of, route, split
from bellhop.store.scripts import Command

ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')
END = "the end of the watch"
SIXTEEN = partitions(16)
OF_A_SERVER = frozenset(
    {
        *("AUTH", "CLIENT", "COMMAND", "HELLO", "MONITOR", "SELECT", "SUBSCRIBE", "UNSUBSCRIBE"),
        *("CONFIG", "DBSIZE", "FLUSHDB", "INFO", "KEYS", "SCAN"),
    }
)
"""Commands about a connection, or about all that a server has."""
IN_EACH_PARTITION = {
    "the watchdog, in each partition": ("calls/enqueue_due",),
    "a worker, in one of its partitions": ("BLMOVE rq:queue", "LRANGE bellhop:inflight", "HMGET rq:job"),
    "a worker that looks after its neighbours, in each partition": ("SMEMBERS bellhop:workers", "HMGET rq:worker"),
    "a worker that looks for queues of an older version, in each partition": ("EXISTS rq:queue",),
    "what knows of Stream's time, in the partition of a call": (
        *("HMGET bellhop:stream-clock", "HGET bellhop:stream-clock"),
        *("HSET bellhop:stream-clock", "EXPIRE bellhop:stream-clock"),
    ),
    "a walk over all keys, whose names have the tag": ("HGETALL rq:job", "privacy/replace_entries"),
    "these tests": (
        *(
            "DEL rq:job",
            "SET rq:job",
            "TYPE rq:job",
            "ZRANGE rq:finished",
            "ZSCORE bellhop:agenda",
            "SET bellhop:worker",
        ),
        "ZRANGE rq:scheduled",  # a notice that waits for its next try
    ),
}
"""Who runs which commands about keys that each partition has, besides the scripts of the queue (lua/queue/)."""
PLACED = frozenset(kind for kinds in IN_EACH_PARTITION.values() for kind in kinds)


def violations(lines: list[str]) -> set[str]:
    """Return what is wrong with the commands in these lines of MONITOR."""
    names, script, given = {scripts.sha1(name): name for name in scripts.names()}, "", ()
    sent, uses, found = set(), set(), set()
    for line in lines:
        source, _, text = line.partition("] ")
        name, *args = ARGUMENT.findall(text)
        command = (name.upper(), *args)
        if not source.endswith(" lua"):
            script = names.get(args[0], "") if command[0] == "EVALSHA" else ""
            given = untagged(keys_of(command)) if script else ()
            kind = kind_of(command, script)
            if kind not in PLACED and not script.startswith("queue/") and command[0] not in OF_A_SERVER:
                sent.add((kind, command[0], tuple(keys_of(command))))
        elif script:
            uses.add((script, given, untagged(keys_of(command))))
    for kind, name, keys in sent:
        command = Command(kind, keys, []) if name.startswith("EVAL") else (name, *keys)
        try:
            route(split(command, SIXTEEN), SIXTEEN)
        except ValueError as error:
            found.add(f"{kind}: {error}")
    for script, keys, used in uses:
        found |= {f"{script} uses {key}, which its caller does not give it" for key in used if not is_given(key, keys)}
        try:
            common_home([*keys, *used])
        except ValueError as error:
            found.add(f"{script}: {error}")
    return found


def common_home(keys: Iterable[str]) -> Home:
    """Return the home that all keys of one command have. Raises ValueError if they have several."""
    homes = {home_of(key) for key in keys}
    kinds = {home.kind for home in homes if home.kind != "partition"}
    names = {home.name for home in homes if home.name}
    if len(kinds) > 1 or len(names) > 1:
        raise ValueError(f"keys of several homes: {sorted(homes)}")
    return Home(kinds.pop() if kinds else "partition", names.pop() if names else "")


def kind_of(command: tuple[str, ...], script: str) -> str:
    """Name a command by its script, or else by itself and how its first key begins."""
    if script:
        return script
    return " ".join((command[0], *(":".join(key.split(":")[:2]) for key in untagged(command[1:2]))))


def untagged(keys: Sequence[str]) -> tuple[str, ...]:
    """The names of keys without the tag of a partition. Redis itself sees to it that all have one tag."""
    return tuple(without_tag(key) for key in keys)


def is_given(key: str, given: tuple[str, ...]) -> bool:
    """Whether a script's caller gave it the key, or how the keys of its kind begin."""
    return any(key == known or (known.endswith(":") and key.startswith(known)) for known in given)


@contextmanager
def each_command_has_one_home(url: str) -> Iterator[None]:
    """Fail at the end if Redis ran a command meanwhile that a cluster could not run."""
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        for name in scripts.names():
            client.script_load(scripts.source(name))
        lines: list[str] = []

        def read() -> None:
            while END not in (line := monitor.connection.read_response().decode("utf-8", "replace")):
                lines.append(line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield
        finally:
            client.echo(END)
            reader.join()
    assert not (wrong := violations(lines)), sorted(wrong)
    assert any(" lua] " in line for line in lines), "no script ran"
