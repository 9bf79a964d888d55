"""The Lua scripts in bellhop/store/lua/: their text, and how a command names one.

Each family of scripts has one owner, which knows the order of its keys and arguments: `call_scripts`, `email_scripts`,
`queue_scripts` and `registry` here, `bellhop.telemetry.metrics`, and Apple's `provider_token`.
"""

import hashlib
import re
from collections.abc import Coroutine, Hashable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bellhop.store.homes import Partition

Argument = str | bytes | int | float
RawCommand = tuple[Argument, ...]
"""A command of Redis: its name and its arguments."""

FOLDER = Path(__file__).parent / "lua"
INCLUDE = re.compile(r"^-- include: ([\w/]+)$", re.MULTILINE)


class Command(NamedTuple):
    """A script to run: its name, keys and arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[Argument]


AnyCommand = Command | RawCommand
"""A script or a command."""


def in_partition(command: Command, partition: Partition) -> Command:
    """Return the script with the names that its keys have in a partition."""
    return command._replace(keys=[partition.key(key) for key in command.keys]) if partition.tag else command


class ScriptRunner(Protocol):
    """Runs a script, and commands behind it, such as `bellhop.store.blocking_client.run_script`."""

    def __call__(self, command: Command, /, *behind: RawCommand) -> Any:
        """Return the script's answer. Raises if the script or a command failed; then all of them may have run."""
        ...


class Scripts(Protocol):
    """Runs scripts; `bellhop.store.async_client.Store` is one."""

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua."""
        ...

    def together(self, *commands: AnyCommand, in_order: bool = True) -> Coroutine[Any, Any, list[Any]]:
        """Run scripts and commands one after the other, in a single round trip; a cluster may need several."""
        ...

    def server_of_key(self, key: str) -> Hashable:
        """Name the server that has a key, as far as it is known."""
        ...


@cache
def source(name: str) -> str:
    """Read lua/<name>.lua; a line `-- include: other` stands for the text of lua/other.lua, which is included once."""
    return _expanded(name, set())


@cache
def sha1(name: str) -> str:
    """Return the digest by which Redis knows the script."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


def by_digest(command: Command) -> RawCommand:
    """Return what to send for a script that Redis knows; it answers NOSCRIPT, and does nothing, if it does not."""
    return ("EVALSHA", sha1(command.script), len(command.keys), *command.keys, *command.args)


def by_source(command: Command) -> RawCommand:
    """Return what to send for a script that Redis may not know."""
    return ("EVAL", source(command.script), len(command.keys), *command.keys, *command.args)


def names() -> list[str]:
    """List the scripts."""
    paths = (path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.lua"))
    return sorted(name for name in paths if not name.startswith("lib/"))


def _expanded(name: str, included: set[str]) -> str:
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return INCLUDE.sub(lambda match: _included(match[1], included), text)


def _included(name: str, included: set[str]) -> str:
    if name in included:
        return ""
    included.add(name)
    return _expanded(name, included)
