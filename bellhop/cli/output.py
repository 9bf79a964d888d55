"""Text from outside, made fit for a terminal: no name may move the cursor, colour the screen, or forge a line."""


def plain(text: object) -> str:
    """Put a mark in the place of every character that is not printed."""
    return "".join(character if character.isprintable() else "�" for character in str(text))
