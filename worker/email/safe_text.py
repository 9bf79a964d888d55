"""Makes texts that users chose (names, custom fields) safe for a header and a line of an e-mail. Pure."""

import re
import unicodedata

from bellhop.domain.email_address import ENCODED_WORD

LONGEST_LINE, LONGEST_NAME, LONGEST_READ = 100, 50, 300
LINK = re.compile(r"\S*://\S*|\S*\bwww\.\S*|\b(?:mailto|tel|javascript|data):\S*|\S*@\S*", re.IGNORECASE)
DOTS_OF_DOMAINS = re.compile(r"[.\u3002\uff0e\uff61](?=\w\w)")
"""Mail programs make a link of "example.com", but not of "J. R." or "e.g"."""
BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
DIRECTION_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"


def safe_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return one line of at most `longest` characters, without control characters and direction controls."""
    text = BREAKS.sub(" ", DIRECTION_CONTROLS.sub("", text)).strip()
    text = text.replace(ENCODED_WORD, "= ?")
    return text if len(text) <= longest else text[: longest - 1].rstrip("\u200d") + "…"


def safe_name(text: str) -> str:
    """Return a name that a user chose, as one short line of which no mail program makes a link."""
    line = safe_line(text, LONGEST_READ)
    return safe_line(DOTS_OF_DOMAINS.sub(" ", LINK.sub(" ", line)), LONGEST_NAME)


def isolate(name: str, direction: str) -> str:
    """Isolate a name of the other direction, so that it does not reorder the text around it."""
    strong = {unicodedata.bidirectional(character) for character in name} & {"L", "R", "AL"}
    foreign = {"R", "AL"} if direction == "ltr" else {"L"}
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}" if strong & foreign else name
