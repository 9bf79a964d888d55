"""One POST to a push service, as HTTP/1.1 and as HTTP/2 write it. Pure."""

from functools import lru_cache
from typing import NamedTuple

from worker.providers.http2.header_fields import encode_field

CONTENT_TYPE = "application/octet-stream"


class EncryptedPush(NamedTuple):
    """An encrypted message, with the fields of RFC 8030 and RFC 8292."""

    endpoint: str
    host: str
    """The endpoint's, with a port unless that is 443."""
    authorization: str
    urgency: str
    ttl_s: int
    topic: str
    """Empty: no message replaces another."""
    body: bytes


def headers_of(request: EncryptedPush) -> dict[str, str]:
    """Return the headers for HTTP/1.1. The body brings its own type and length."""
    headers = {
        "Authorization": request.authorization,
        "Content-Encoding": "aes128gcm",
        "TTL": str(request.ttl_s),
        "Urgency": request.urgency,
    }
    return headers | ({"Topic": request.topic} if request.topic else {})


def header_block_of(request: EncryptedPush) -> bytes:
    """Return the encoded headers for HTTP/2."""
    path = request.endpoint[request.endpoint.index("/", len("https://")) :]
    block = encode_field(":path", path)  # the fields with a colon come first (RFC 9113, section 8.3)
    block += _shared_fields(request.host, request.authorization, request.urgency)
    block += encode_field("ttl", str(request.ttl_s)) + encode_field("content-length", str(len(request.body)))
    return block + encode_field("topic", request.topic) if request.topic else block


@lru_cache(maxsize=64)
def _shared_fields(host: str, authorization: str, urgency: str) -> bytes:
    """Encode the fields that are the same for many messages."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":authority": host,
        "authorization": authorization,
        "content-encoding": "aes128gcm",
        "content-type": CONTENT_TYPE,
        "urgency": urgency,
        "user-agent": "bellhop",
    }
    return b"".join(encode_field(name, value) for name, value in fields.items())
