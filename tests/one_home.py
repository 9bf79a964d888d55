"""Watches the scripts that Redis runs: each must use keys of one home, and no key that its caller does not give it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from bellhop.store import scripts
from bellhop.store.homes import common_home

ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')
TAG = re.compile(r":\{[^{}]+\}:")
ALL_ARE_KEYS = {"MGET", "EXISTS", "DEL", "UNLINK"}
TWO_ARE_KEYS = {"LMOVE"}
WITHOUT_KEY = {"TIME", "PUBLISH"}
END = "the end of the watch"


def violations(lines: list[str]) -> set[str]:
    """Return what is wrong with the scripts in these lines of MONITOR."""
    names, script, keys = {scripts.sha1(name): name for name in scripts.names()}, "", ()
    uses, found = set(), set()
    for line in lines:
        source, _, text = line.partition("] ")
        command, *args = ARGUMENT.findall(text)
        if not source.endswith(" lua"):
            script = names.get(args[0], "") if command.upper() == "EVALSHA" else ""
            keys = untagged(args[2 : 2 + int(args[1])]) if script else ()
        elif script:
            uses.add((script, keys, untagged(keys_of(command.upper(), args))))
    for script, keys, used in uses:
        found |= {f"{script} uses {key}, which its caller does not give it" for key in used if not given(key, keys)}
        try:
            common_home([*keys, *used])
        except ValueError as error:
            found.add(f"{script}: {error}")
    return found


def keys_of(command: str, args: list[str]) -> list[str]:
    if command in WITHOUT_KEY:
        return []
    return args if command in ALL_ARE_KEYS else args[: 2 if command in TWO_ARE_KEYS else 1]


def untagged(keys: list[str]) -> tuple[str, ...]:
    """The names of keys without the tag of a partition. Redis itself sees to it that all have one tag."""
    return tuple(TAG.sub(":", key, count=1) for key in keys)


def given(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a script's caller gave it the key, or how the keys of its kind begin."""
    return any(key == known or (known.endswith(":") and key.startswith(known)) for known in keys)


@contextmanager
def each_script_has_one_home(url: str) -> Iterator[None]:
    """Fail at the end if a script that Redis ran meanwhile used keys of two homes, or a key that it was not given."""
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
