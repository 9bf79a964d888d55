"""E-mail addresses that came with an event: which of them can be written to. Pure."""

import re

import idna

from bellhop.domain.user import EMAIL

LONGEST, LONGEST_LOCAL = 254, 64
"""RFC 5321, 4.5.3.1; the whole address by 4.5.3.1.3 without its brackets."""


def usable(text: str) -> str | None:
    """Bring an address to the form that mail servers everywhere take, its domain as punycode; None if it has none.

    Left out on purpose: quoted local parts, addresses in brackets, hosts without a dot, and local parts that are not
    ASCII, which few servers take.
    """
    local, _, domain = text.strip().rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    address = f"{local}@{domain}"
    dots_misplaced = local.startswith(".") or local.endswith(".") or ".." in local
    if "." not in domain or dots_misplaced or len(local) > LONGEST_LOCAL or len(address) > LONGEST:
        return None
    return address if re.fullmatch(EMAIL, address) else None
