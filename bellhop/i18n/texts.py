"""The texts that users read: one TOML file for each language, read once. Pure apart from reading these files.

A text is taken from the first file that has it: the user's language with its region (pt-BR), the language alone (pt),
the installation's default language, English.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

SHIPPED = Path(__file__).parent / "templates"
ENGLISH = "en"
FIELD = "field_"
"""The name of a text that labels a custom field begins with this. Bellhop ships none of them."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LONGEST_TAG = 35
"""Characters of a language tag that are read (RFC 5646, 4.4.1). A browser's header may be longer."""

Wording = Mapping[str, str]
"""The texts of one language, by name."""


class Texts:
    """The texts of all languages. A team's own folder can add languages and replace single texts of ours.

    Raises ValueError with a sentence for a file that cannot be read, or that has a text with an unknown name.
    """

    def __init__(self, folder: Path | None = None, default: str = ENGLISH) -> None:
        self._catalogues = _catalogues(SHIPPED)
        self._default = default
        self.wording = lru_cache(maxsize=1000)(self._wording)
        """Returns the texts for a language tag, such as "pt-BR". An empty or unknown tag gets the default language."""
        english = self._catalogues[ENGLISH]
        for language, texts in (_catalogues(folder) if folder else {}).items():
            for name, text in texts.items():
                _check(f"{folder}/{language}.toml", name, text, english)
            self._catalogues[language] = self._catalogues.get(language, {}) | texts

    @property
    def languages(self) -> list[str]:
        """The languages that have texts."""
        return sorted(self._catalogues)

    def _wording(self, language: str) -> Wording:
        wording: dict[str, str] = {}
        for tag in (*broader_tags(language), *broader_tags(self._default), ENGLISH):
            wording = self._catalogues.get(tag, {}) | wording
        return wording


def fill(text: str, **values: object) -> str:
    """Replace each {name} in a text by its value. Braces inside a value are not replaced."""
    return PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), text)


def broader_tags(language: str) -> list[str]:
    """Return the tag, and then each shorter one: "pt-BR" gives pt-br and pt."""
    parts = language[:LONGEST_TAG].lower().replace("_", "-").split("-")
    return ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _catalogues(folder: Path) -> dict[str, dict[str, str]]:
    tags = {path.stem.lower().replace("_", "-"): path for path in sorted(folder.glob("*.toml"))}
    return {tag: {"language": tag, **_read(path)} for tag, path in tags.items()}


def _read(path: Path) -> dict[str, str]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _check(where: str, name: str, text: object, english: Wording) -> None:
    if name not in english and not name.startswith(FIELD):
        near = difflib.get_close_matches(name, english, n=1)
        raise ValueError(f"{where}: no text has the name {name}" + (f"; did you mean {near[0]}?" if near else ""))
    if not isinstance(text, str):
        raise ValueError(f"{where}: {name} must be a text in quotes")
    unknown = set(PLACEHOLDER.findall(text)) - {"caller", "count", "app"}
    if unknown:
        raise ValueError(f"{where}: {name} uses {{{unknown.pop()}}}; available are {{caller}}, {{count}} and {{app}}")


BUILT_IN = Texts()
"""The texts that come with Bellhop."""
