"""What users read, in their language: one TOML catalogue of texts a language, read once. Pure but for that reading.

A text is found in the user's language with its region (pt-BR), in the language (pt), in the installation's default
language, in English: in the first catalogue that has it.
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
"""What the name of a text begins with that is a custom field's label. None is shipped."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LONGEST_TAG = 35
"""Characters of a language tag that are looked at (RFC 5646, 4.4.1); in a browser's header it may have any number."""

Wording = Mapping[str, str]
"""The texts for one language, by their names."""


class Texts:
    """The catalogues. A folder of a team's own may add languages, and replace single texts of those that are there.

    Raises ValueError with a sentence for a catalogue that cannot be read, or that words a text there is not.
    """

    def __init__(self, folder: Path | None = None, default: str = ENGLISH) -> None:
        self._catalogues = _catalogues(SHIPPED)
        self._default = default
        self.wording = lru_cache(maxsize=1000)(self._wording)
        """Finds the texts for a language tag, such as "pt-BR"; an empty or unknown one is the default's."""
        english = self._catalogues[ENGLISH]
        for language, texts in (_catalogues(folder) if folder else {}).items():
            for name, text in texts.items():
                _check(f"{folder}/{language}.toml", name, text, english)
            self._catalogues[language] = self._catalogues.get(language, {}) | texts

    @property
    def languages(self) -> list[str]:
        """The languages there are texts in."""
        return sorted(self._catalogues)

    def _wording(self, language: str) -> Wording:
        found: dict[str, str] = {}
        for tag in (*_and_broader(language), *_and_broader(self._default), ENGLISH):
            found = self._catalogues.get(tag, {}) | found
        return found


def fill(text: str, **values: object) -> str:
    """Put values where a text says {name}. What a value says is never read as a placeholder."""
    return PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), text)


def _and_broader(language: str) -> list[str]:
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


def _check(place: str, name: str, text: object, english: Wording) -> None:
    if name not in english and not name.startswith(FIELD):
        near = difflib.get_close_matches(name, english, n=1)
        raise ValueError(f"{place}: there is no text {name}" + (f"; did you mean {near[0]}?" if near else ""))
    if not isinstance(text, str):
        raise ValueError(f"{place}: {name} is no text in quotes")
    strange = set(PLACEHOLDER.findall(text)) - {"caller", "count", "app"}
    if strange:
        raise ValueError(f"{place}: {name} names {{{strange.pop()}}}; there are {{caller}}, {{count}} and {{app}}")


BUILT_IN = Texts()
"""The texts that come with Bellhop."""
