"""Recognizes people by their ids: one person to export, or forgotten people, whose ids are known as keyed hashes. Pure.

The key of the hashes is a random secret in Redis that expires. After that, nobody can find out from a pseudonym who the
person was, not even by trying ids.
"""

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import accumulate
from typing import NamedTuple, Protocol

from bellhop.domain.folded_text import folded

HASH_DIGITS = 24
PSEUDONYM_DIGITS = 10
OTHER = "<other>"
"""The mark in front of other people's ids while an entry is exported."""
MOST_KNOWN = 100_000
"""How many texts are remembered with their answers."""

Names = Callable[[str], str]
"""Takes a text. Returns the replacement if the text is the id of such a person, otherwise an empty text."""


class People(Protocol):
    """Some people of several Stream apps."""

    def of(self, tenant: str) -> Names:
        """Return the function that recognizes the people of one app."""
        ...

    def in_search(self, tenant: str) -> Names:
        """Return the function for the lines of the console's search, which have no capital letters."""
        ...


class ForgottenPerson(NamedTuple):
    """A forgotten person, as Redis keeps it for a day."""

    tenant: str
    id_hash: str
    search_hash: str
    """The hash of the id in the form that the console's search stores."""

    @classmethod
    def of(cls, secret: bytes, tenant: str, user_id: str) -> "ForgottenPerson":
        """Hash the id of a person."""
        return cls(tenant, id_hash(secret, tenant, user_id), id_hash(secret, tenant, folded(user_id)))

    @classmethod
    def read(cls, stored: bytes) -> "ForgottenPerson":
        """Read what `stored` wrote."""
        return cls(*stored.decode().split(":"))

    def stored(self) -> str:
        """Write for Redis."""
        return ":".join(self)

    @property
    def pseudonym(self) -> str:
        """The text that replaces the id, for example on trails."""
        return f"forgotten-{self.id_hash[:PSEUDONYM_DIGITS]}"


def id_hash(secret: bytes, tenant: str, user_id: str) -> str:
    """Return the keyed hash of a user's id."""
    text = f"{tenant}\0{user_id}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret, text, sha256).hex()[:HASH_DIGITS]


class OnePerson:
    """The person with this id. `placeholder` stands for the id."""

    def __init__(self, tenant: str, user_id: str, placeholder: str) -> None:
        self._tenant, self.user_id, self._placeholder = tenant, user_id, placeholder

    def of(self, tenant: str) -> Names:
        """Return the function that recognizes the person in data of this app."""
        return self._names(tenant, self.user_id)

    def in_search(self, tenant: str) -> Names:
        """Return the function that recognizes the person in the lines of the console's search."""
        return self._names(tenant, folded(self.user_id))

    def _names(self, tenant: str, user_id: str) -> Names:
        return lambda text: self._placeholder if (tenant, text) == (self._tenant, user_id) else ""


class EveryoneElse:
    """Everybody but one person. Their ids stay, with a mark in front."""

    def __init__(self, person: OnePerson) -> None:
        self._person = person

    def of(self, tenant: str) -> Names:
        """Return the function that marks other people in data of this app."""
        is_person = self._person.of(tenant)
        return lambda text: "" if not text or is_person(text) else OTHER + text

    def in_search(self, tenant: str) -> Names:
        """Return the function for the lines of the console's search. A line has the name behind the id."""
        is_person = self._person.in_search(tenant)
        return lambda text: "" if any(map(is_person, accumulate(text.split(" "), "{} {}".format))) else OTHER + text


class ForgottenPeople:
    """People who are known by the hashes of their ids."""

    def __init__(self, secret: bytes = b"", people: Iterable[ForgottenPerson] = ()) -> None:
        self._secret = secret
        self._pseudonyms: dict[tuple[str, str, bool], str] = {}
        for person in people:
            self._pseudonyms[person.tenant, person.id_hash, False] = person.pseudonym
            self._pseudonyms[person.tenant, person.search_hash, True] = person.pseudonym
        self._known: dict[tuple[str, str, bool], str] = {}

    def __bool__(self) -> bool:
        return bool(self._pseudonyms)

    def of(self, tenant: str) -> Names:
        """Return the function that recognizes the people of this app."""
        return lambda text: self._pseudonym(tenant, text, search=False)

    def in_search(self, tenant: str) -> Names:
        """Return the function that recognizes them in the lines of the console's search."""
        return lambda text: self._pseudonym(tenant, text, search=True)

    def _pseudonym(self, tenant: str, text: str, *, search: bool) -> str:
        known = self._known.get((tenant, text, search))
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._pseudonyms.get((tenant, id_hash(self._secret, tenant, text), search), "")
            self._known[tenant, text, search] = known
        return known
