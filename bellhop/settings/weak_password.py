"""Which passwords are easily guessed. Pure.

Lists of common passwords contain few with twelve characters or more. Most of these few are common words followed by
digits, repeated words, or rows of the keyboard.
"""

import re
from itertools import pairwise

COMMON = (
    *("password", "passwort", "passwd", "kennwort", "secret", "changeme", "letmein", "welcome", "default", "login"),
    *("administrator", "admin", "root", "user", "test", "guest", "master", "console", "bellhop", "getstream", "stream"),
    *("iloveyou", "sunshine", "princess", "football", "baseball", "monkey", "dragon", "superman", "batman", "hello"),
    *(
        "qwertyuiop",
        "qwerty",
        "qwertz",
        "azerty",
        "asdfghjkl",
        "asdf",
        "zxcvbnm",
        "1q2w3e4r5t6y",
        "1q2w3e4r",
        "1qaz2wsx",
    ),
    *("qazwsx", "abc123", "abcd", "company", "the", "my"),
)
LETTERS_LEFT = 5
"""A password that contains common words must have at least this many other letters."""
DIFFERENT = 5
READ_AS = str.maketrans("013457@$!", "oieastasi")
"""Digits and signs that people write in place of letters."""


def weakness(password: str) -> str:
    """Say why a password is easily guessed; empty if it is not."""
    text = password.lower()
    if len(set(text)) < DIFFERENT:
        return f"it has fewer than {DIFFERENT} different characters"
    if (text + text).find(text, 1) < len(text):
        return "it repeats the same characters"
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    if max(steps.count(1), steps.count(-1)) > len(steps) * 2 // 3:
        return "its characters follow each other"
    if _common_only(text) or _common_only(text.translate(READ_AS)):
        return "it is made of common words"
    return ""


def _common_only(text: str) -> bool:
    left = re.sub("|".join(sorted(COMMON, key=len, reverse=True)), " ", text)
    return left != text and sum(character.isalpha() for character in left) < LETTERS_LEFT
