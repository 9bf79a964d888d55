"""Text from outside, made safe for a terminal: no name can move the cursor, colour the screen, or fake a line."""


def plain(text: object) -> str:
    """Replace every character that is not printable with a mark."""
    return "".join(character if character.isprintable() else "�" for character in str(text))
