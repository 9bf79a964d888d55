"""The form of a text that a search compares. Pure."""

import unicodedata


def folded(text: str) -> str:
    """Return a text as a search compares it: without capital letters and accents, on one line."""
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join(text.casefold().split())
