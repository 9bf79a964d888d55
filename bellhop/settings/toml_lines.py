"""Find the line of a value in a TOML file: Python's reader of TOML does not give it. Pure.

This does not read TOML; it looks for the lines that begin a table or a value. A key in a table that is written in one
line is found by the line of that table.
"""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=\s*(.*)""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([\w-]+)""")
_LONG_TEXTS = ('"""', "'''")


class TomlLines:
    """The lines of the tables [[`tables`]] and of the values in them."""

    def __init__(self, text: str, tables: str) -> None:
        self._found: dict[tuple[str, ...], int] = {}
        number, until = 0, ""
        inside: tuple[str, ...] = ()
        for line_number, line in enumerate(text.splitlines(), 1):
            if until:
                until = "" if until in line else until
            elif (header := _HEADER.match(line)) and (names := _parts(header[2])):
                name, *inside_names = names
                number += bool(header[1]) and name == tables and not inside_names
                inside = (str(number) if name == tables else name, *inside_names)
                self._found.setdefault(inside, line_number)
            elif key := _KEY.match(line):
                opened = next((mark for mark in _LONG_TEXTS if key[2].startswith(mark)), "")
                until = opened if opened and opened not in key[2][3:] else ""
                begins = line_number + (key[2].strip() in _LONG_TEXTS)
                self._found.setdefault((*inside, *_parts(key[1])), begins)

    def line_of(self, number: int, path: Sequence[str]) -> int:
        """Return the line of a value in the table with this number, from 1; 0 for a value outside the tables.

        A value that is not found has the line of what contains it.
        """
        whole = (*([str(number)] if number else []), *path)
        return next((self._found[whole[:end]] for end in range(len(whole), 0, -1) if whole[:end] in self._found), 1)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(next(filter(None, part.groups()), "") for part in _PART.finditer(name))
