"""The Lua scripts that change state in Redis, kept in bellhop/store/lua/."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Argument = str | bytes | int | float

FOLDER = Path(__file__).parent / "lua"
INCLUDE = re.compile(r"^-- include: ([\w/]+)$", re.MULTILINE)


class Command(NamedTuple):
    """A script to run: its name, keys and arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[Argument]


class Scripts(Protocol):
    """What runs them; `bellhop.store.async_client.Store` does."""

    async def script(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run lua/<name>.lua."""
        ...


@cache
def source(name: str) -> str:
    """Read lua/<name>.lua; a line `-- include: other` stands for the text of lua/other.lua."""
    text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return INCLUDE.sub(lambda match: source(match[1]), text)


def names() -> list[str]:
    """List the scripts."""
    found = (path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.lua"))
    return sorted(name for name in found if not name.startswith("lib/"))
