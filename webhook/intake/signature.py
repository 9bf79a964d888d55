"""Verify a webhook: body and headers -> the tenant and the JSON that was signed, or a typed refusal. Pure."""

import base64
import hmac
import json
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

SMALL = 65_536
"""A gzip body may always inflate to this size, in bytes. An event with a hundred members has about 55 KB."""
MAX_GZIP_MEMBERS = 4
"""A gzip body may consist of several members, and one MiB could hold 50,000 of them."""
PIECE = 65_536
"""Bytes that are inflated and hashed at once."""

SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")
TOKEN = re.compile(rb"[A-Za-z0-9_-]{2,4096}\.[A-Za-z0-9_-]*")
GZIP_MAGIC = b"\x1f\x8b"
ENCODINGS = {"", "identity", "gzip", "x-gzip"}


class Refusal(Enum):
    """A reason to refuse a webhook: its label in metrics and logs, the HTTP status, and a sentence for the answer."""

    def __init__(self, label: str, status: int, sentence: str) -> None:
        self.label = label
        self.status = status
        self.sentence = sentence

    MISSING_SIGNATURE = (
        "missing_signature",
        401,
        "The header X-SIGNATURE is missing: only Stream may post webhooks here.",
    )
    BAD_SIGNATURE = (
        "bad_signature",
        401,
        "X-SIGNATURE does not match the body: check that the configured API secret is the one of this app.",
    )
    UNKNOWN_APP = (
        "unknown_app",
        401,
        "X-API-KEY is not the key of a configured app: add the app's API key and secret to the settings.",
    )
    ADDRESS_NOT_ALLOWED = (
        "strange_address",
        403,
        "Webhooks are accepted only from the addresses in BELLHOP_WEBHOOK_NETWORKS.",
    )
    USER_TOKEN = (
        "user_token",
        401,
        "The body is a token of a Stream user, not a webhook: only Stream may post webhooks here.",
    )
    WRONG_PATH = "wrong_path", 404, "Webhooks go to /webhooks/stream: correct the URL in Stream's dashboard."
    TOO_LARGE = "too_large", 413, "The body, as sent or once inflated, is larger than BELLHOP_WEBHOOK_MAX_BYTES."
    INFLATES_TOO_MUCH = (
        "inflates_too_much",
        413,
        "The gzip body inflates to more than BELLHOP_WEBHOOK_GZIP_RATIO times its size.",
    )
    BUSY = "busy", 503, "Too many gzip bodies wait to be inflated. Try again."
    UNSUPPORTED_ENCODING = "unsupported_encoding", 415, "Send the body uncompressed, or with Content-Encoding: gzip."
    NO_BODY = (
        "no_body",
        503,
        "The server that runs Bellhop gave it no body of this chunked request: use bellhop web, gunicorn or waitress, "
        "or let the proxy buffer requests.",
    )
    BAD_ENCODING = "bad_encoding", 400, "The gzip body cannot be inflated."


class RefusedWebhook(Exception):  # noqa: N818 - it is what happened to a request
    """A request is not accepted as a webhook; `refusal` is the reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Verified:
    """A request that Stream signed."""

    tenant: str
    """The tenant of the app whose secret signed it."""
    body: bytes
    """The JSON that was signed."""
    signature: bytes = field(default=b"", compare=False, repr=False)
    """It is the same for the same JSON, so it identifies a webhook that is posted again under another id."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a webhook's body may be."""

    max_bytes: int = 16 << 20
    """As sent, and once inflated."""
    gzip_ratio: int = 200
    """How many times larger a gzip body may be once inflated."""

    def check_inflated(self, size: int, gzip_size: int) -> None:
        """Raise RefusedWebhook if a gzip body inflates to `size` bytes or more and this is too much."""
        if size > self.max_bytes:
            raise RefusedWebhook(Refusal.TOO_LARGE)
        if size > max(SMALL, gzip_size * self.gzip_ratio):
            raise RefusedWebhook(Refusal.INFLATES_TOO_MUCH)


DEFAULT_LIMITS = BodyLimits()


@dataclass(frozen=True, slots=True)
class SigningApp:
    """One Stream app, with the secrets that sign its webhooks and its users' tokens."""

    tenant: str
    api_keys: tuple[str, ...]
    secrets: tuple[bytes, ...] = field(repr=False)
    """The API secrets; more than one during a rotation."""


class KeyRing:
    """The configured apps. Raises ValueError for an empty secret, and for a key that two apps have."""

    def __init__(self, apps: Iterable[SigningApp]) -> None:
        self._apps = tuple(apps)
        self._by_key = {key.strip(): app for app in self._apps for key in app.api_keys}
        if not all(app.secrets and all(secret.strip() for secret in app.secrets) for app in self._apps):
            raise ValueError("an API secret is empty: anybody could sign webhooks")
        if len(self._by_key) < sum(len(app.api_keys) for app in self._apps):
            raise ValueError("an API key is listed twice: it must belong to one app")

    def find(self, api_key: str | None) -> SigningApp | None:
        """Find the app of this key. Without a key, find the only configured app, if there is only one."""
        if api_key is None:
            return self._apps[0] if len(self._apps) == 1 else None
        return self._by_key.get(api_key.strip())

    def key_of(self, api_key: str | None) -> str | None:
        """Return the given key; without a key, the only configured app's first one."""
        return self._apps[0].api_keys[0] if api_key is None and len(self._apps) == 1 else api_key


DUMMY_APP = SigningApp("", (), (secrets.token_bytes(),))
"""Used for an API key that is not configured, so that refusing it takes as long as refusing a wrong signature."""


class RunningSignature:
    """The signatures of a body by each secret of an app, made while the body arrives or is inflated."""

    def __init__(self, app: SigningApp | None) -> None:
        self._macs = [hmac.new(secret, digestmod="sha256") for secret in (app or DUMMY_APP).secrets]

    def update(self, part: bytes) -> None:
        """Continue with the next part of the body."""
        for mac in self._macs:
            mac.update(part)

    def digests(self) -> list[bytes]:
        """Return the signature by each secret."""
        return [mac.digest() for mac in self._macs]


def check_without_body(
    ring: KeyRing, signature: str | None, api_key: str | None, running: RunningSignature | None = None
) -> None:
    """Raise RefusedWebhook if the headers show that a webhook is refused, or `running`, which has read its body."""
    given, app = _given(signature), ring.find(api_key)
    if app is None:
        raise RefusedWebhook(Refusal.UNKNOWN_APP)
    if running:
        _signer(app, running.digests(), given)


def verify(
    ring: KeyRing,
    body: bytes,
    *,
    signature: str | None,
    api_key: str | None,
    content_encoding: str | None,
    limits: BodyLimits = DEFAULT_LIMITS,
    running: RunningSignature | None = None,
) -> Verified:
    """Check that one of the app's secrets signed the body. The arguments are the headers of the same names.

    X-SIGNATURE is hex(HMAC-SHA256(API secret, JSON)), of the JSON before compression (Stream's webhook overview).
    X-API-KEY only chooses the secret; it proves nothing. `running` has read the body already, if it is given. Raises
    RefusedWebhook, and nothing else, for any bytes.
    """
    if signature is None:
        raise RefusedWebhook(Refusal.MISSING_SIGNATURE)
    if len(body) > limits.max_bytes:
        raise RefusedWebhook(Refusal.TOO_LARGE)
    if content_encoding and content_encoding.strip().lower() not in ENCODINGS:
        raise RefusedWebhook(Refusal.UNSUPPORTED_ENCODING)
    given, app = _given(signature), ring.find(api_key)
    # The first bytes decide, as in Stream's own libraries, not the header: a proxy may inflate a body and keep it.
    pieces = [body]
    if body.startswith(GZIP_MAGIC):
        pieces, running = [], RunningSignature(app)
        for piece in inflate(body, limits):
            running.update(piece)
            pieces.append(piece)
    if running:
        digests = running.digests()
    else:
        digests = [hmac.digest(secret, body, "sha256") for secret in (app or DUMMY_APP).secrets]
    app = _signer(app, digests, given)
    body = b"".join(pieces)
    if is_token(body):
        raise RefusedWebhook(Refusal.USER_TOKEN)
    return Verified(app.tenant, body, bytes.fromhex(given))


def _given(signature: str | None) -> str:
    """Return the signature of the header, in hex. Raises RefusedWebhook."""
    if signature is None:
        raise RefusedWebhook(Refusal.MISSING_SIGNATURE)
    given = SIGNATURE.fullmatch(signature.strip())
    if given is None:
        raise RefusedWebhook(Refusal.BAD_SIGNATURE)
    return given[0]


def _signer(app: SigningApp | None, digests: list[bytes], given: str) -> SigningApp:
    """Return the app if the given signature is one of the digests. Raises RefusedWebhook.

    It is compared with each of them, so that the time taken does not reveal which secret matched.
    """
    matches = [hmac.compare_digest(digest, bytes.fromhex(given)) for digest in digests]
    if app is None:
        raise RefusedWebhook(Refusal.UNKNOWN_APP)
    if not any(matches):
        raise RefusedWebhook(Refusal.BAD_SIGNATURE)
    return app


def is_token(body: bytes) -> bool:
    """Return whether a body has the form of what a JWT signs: header and payload in base64url, with a dot between them.

    Stream signs its users' tokens with the same secret and the same HMAC as webhooks. So every user of the app has a
    body and its signature. JSON of an event never has this form.
    """
    if not body[:2].isalnum() or TOKEN.fullmatch(body) is None:
        return False
    header = body.partition(b".")[0]
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(header + b"==")), dict)
    except (ValueError, RecursionError):
        return False


def inflate(body: bytes, limits: BodyLimits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Gunzip piece by piece. Raises RefusedWebhook as soon as the body is broken or inflates to too much."""
    start = inflated = 0
    for _ in range(MAX_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not stream.eof:
            part = stream.unconsumed_tail
            if not part:
                part = body[start : start + PIECE]
                start += len(part)
            piece = _inflate_piece(stream, part)
            inflated += len(piece)
            limits.check_inflated(inflated, len(body))
            yield piece
        start -= len(stream.unused_data)
        if start == len(body):
            return
    raise RefusedWebhook(Refusal.BAD_ENCODING)


def _inflate_piece(stream: "zlib._Decompress", part: bytes) -> bytes:
    try:
        piece = stream.decompress(part, PIECE)
    except zlib.error:
        raise RefusedWebhook(Refusal.BAD_ENCODING) from None
    if not (part or piece or stream.eof):  # the body was cut short
        raise RefusedWebhook(Refusal.BAD_ENCODING)
    return piece
