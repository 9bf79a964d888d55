"""Body and headers as received -> whose app they are from and the JSON that was signed, or a typed refusal. Pure."""

import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

MAX_BODY = 1 << 20
"""Bytes of a request's body; an event with a hundred members takes about 55 KB."""
MAX_INFLATED = 4 << 20
"""Bytes of a gzip body once inflated."""
MAX_GZIP_MEMBERS = 4
"""A gzip file may be several in a row. Few: each costs a copy of the rest, and a MiB could hold fifty thousand."""

SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")
GZIP_MAGIC = b"\x1f\x8b"
ENCODINGS = {"", "identity", "gzip", "x-gzip"}


class Refusal(Enum):
    """Why a request is not taken: the HTTP status, and a sentence for whoever reads the response."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        self.sentence = sentence

    MISSING_SIGNATURE = 401, "There is no X-SIGNATURE header: only Stream's webhooks are welcome here."
    BAD_SIGNATURE = 401, "X-SIGNATURE does not match the body: check that this app's API secret is the one configured."
    UNKNOWN_APP = 401, "X-API-KEY names no configured app: add the app's API key and secret to the settings."
    STRANGE_ADDRESS = 403, "Webhooks are welcome from the addresses in BELLHOP_WEBHOOK_NETWORKS only."
    WRONG_PATH = 404, "Webhooks go to /webhooks/stream: correct the address in Stream's dashboard."
    TOO_LARGE = 413, "The body is over 1 MiB, or over 4 MiB once inflated."
    UNSUPPORTED_ENCODING = 415, "Send the body as it is or with Content-Encoding: gzip."
    BAD_ENCODING = 400, "The gzip body cannot be inflated."


class Refused(Exception):  # noqa: N818 - it is what happened to a request
    """A request that is not taken. `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Verified:
    """A request from Stream."""

    tenant: str
    """Whose app it is from."""
    body: bytes
    """The JSON that was signed."""


@dataclass(frozen=True, slots=True)
class SigningApp:
    """One Stream app, and what signs its webhooks."""

    tenant: str
    api_keys: tuple[str, ...]
    secrets: tuple[bytes, ...] = field(repr=False)
    """Its API secrets; several while one is being rotated."""


class KeyRing:
    """The apps whose webhooks are welcome. Raises ValueError for an empty secret, and for a key that two apps have."""

    def __init__(self, apps: Iterable[SigningApp]) -> None:
        self._apps = tuple(apps)
        self._by_key = {key.strip(): app for app in self._apps for key in app.api_keys}
        if not all(app.secrets and all(secret.strip() for secret in app.secrets) for app in self._apps):
            raise ValueError("an API secret is empty: anybody could sign webhooks")
        if len(self._by_key) < sum(len(app.api_keys) for app in self._apps):
            raise ValueError("an API key is listed twice: it must name one app")

    def find(self, api_key: str | None) -> SigningApp | None:
        """Find the app that X-API-KEY names; without that header, the only app there is."""
        if api_key is None:
            return self._apps[0] if len(self._apps) == 1 else None
        return self._by_key.get(api_key.strip())


NOBODY = SigningApp("", (), (secrets.token_bytes(),))
"""Stands in for an app that is not configured, so that a guessed API key takes as long to refuse as a real one."""


def verify(
    ring: KeyRing, body: bytes, *, signature: str | None, api_key: str | None, content_encoding: str | None
) -> Verified:
    """Check that one of the app's secrets signed the body: the headers X-SIGNATURE, X-API-KEY and Content-Encoding.

    X-SIGNATURE is hex(HMAC-SHA256(API secret, JSON)), of the JSON before compression (Stream's webhook overview).
    X-API-KEY only chooses the secret: it proves nothing. Raises Refused, and nothing else, whatever the bytes are.
    """
    if signature is None:
        raise Refused(Refusal.MISSING_SIGNATURE)
    if len(body) > MAX_BODY:
        raise Refused(Refusal.TOO_LARGE)
    if (content_encoding or "").strip().lower() not in ENCODINGS:
        raise Refused(Refusal.UNSUPPORTED_ENCODING)
    given = SIGNATURE.fullmatch(signature.strip())
    if given is None:
        raise Refused(Refusal.BAD_SIGNATURE)
    # The first bytes decide, as in Stream's own libraries: a proxy may inflate a body and leave the header.
    signed = inflate(body) if body.startswith(GZIP_MAGIC) else body
    app = ring.find(api_key)
    # Every secret is compared, so that the time taken does not tell which one it was.
    matches = [
        hmac.compare_digest(hmac.digest(secret, signed, "sha256"), bytes.fromhex(given[0]))
        for secret in (app or NOBODY).secrets
    ]
    if app is None:
        raise Refused(Refusal.UNKNOWN_APP)
    if not any(matches):
        raise Refused(Refusal.BAD_SIGNATURE)
    return Verified(app.tenant, signed)


def inflate(body: bytes) -> bytes:
    """Gunzip, holding at most about twice MAX_INFLATED. Raises Refused."""
    inflated = b""
    for _ in range(MAX_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            inflated += stream.decompress(body, MAX_INFLATED + 1 - len(inflated))
        except zlib.error:
            raise Refused(Refusal.BAD_ENCODING) from None
        if len(inflated) > MAX_INFLATED:
            raise Refused(Refusal.TOO_LARGE)
        if not stream.eof:
            raise Refused(Refusal.BAD_ENCODING)
        if not stream.unused_data:
            return inflated
        body = stream.unused_data
    raise Refused(Refusal.BAD_ENCODING)
