"""E-mail addresses from events and settings: which of them Bellhop can send to. Pure."""

from functools import cache
from typing import Any

ENCODED_WORD = "=?"
"""Begins an encoded word (RFC 2047). Python's email package decodes those in an address too, line ends included."""


def deliverable_address(text: str) -> str | None:
    """Return the address in the form that every mail server takes, or None if it cannot be used.

    A domain that is not ASCII becomes punycode; everything else stays as it was written. Refused are quoted local
    parts, IP addresses as domain, domains without a dot, encoded words, and local parts that are not ASCII, which few
    servers take. Nothing is looked up in DNS.
    """
    library = _email_validator()
    address = text.strip()
    if ENCODED_WORD in address:
        return None
    try:
        checked = library.validate_email(address, check_deliverability=False, allow_smtputf8=False, strict=True)
    except library.EmailNotValidError:
        return None
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{checked.ascii_domain}"


@cache
def _email_validator() -> Any:
    """Import the library at the first use: it takes about 25 ms, and most processes check no address."""
    import email_validator  # noqa: PLC0415 - see above

    # A company's mail servers may use reserved domains such as .local and .test. The library refuses them by default.
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    return email_validator
