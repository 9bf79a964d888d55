"""What commands print: JSON, and text from outside.

Such text must not move the cursor, colour the screen or fake a line.
"""

import json
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(text: object) -> str:
    """Replace every character that is not printable with a mark."""
    return "".join(character if character.isprintable() else "�" for character in str(text))


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))
