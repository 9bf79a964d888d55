"""Verify what Amazon's SNS posts: a message of a configured topic, signed by Amazon. Pure.

The checks are those of Amazon's page "Verifying the signatures of Amazon SNS messages". The certificate's URL is part
of the message itself, so it is accepted only on SNS's host of the configured topic's region.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
CERTIFICATE = re.compile(r"https://[^/]+/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
CONFIRMATIONS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": CONFIRMATIONS,
    "UnsubscribeConfirmation": CONFIRMATIONS,
}
"""The fields that Amazon signs, in the order of the signature."""
DIGESTS: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - Amazon's default
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?')
"""A JSON string. Without its last quote, it ends with the body: so a search never begins again inside a string."""
MAX_STRINGS, MAX_OTHER_BYTES = 500, 16_384
"""A larger message is refused before its JSON is read: anybody can post here, and 1 MiB of nested lists takes 200 ms. A
message of SNS has eleven fields, and an attribute of it four strings."""


class NotAmazonsError(ValueError):
    """The request is not from Amazon, or not from a configured topic. The text is the reason, and is answered."""


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """A message that claims to be of a configured topic; `verify` checks it."""

    topic: str
    type: str
    fields: Mapping[str, str]
    certificate_url: str


def read_sns_message(body: bytes, topics: Mapping[str, str]) -> SnsMessage:
    """Read a posted message. The keys of `topics` are the configured ARNs. Raises NotAmazonsError."""
    try:
        posted = json.loads(body) if _is_quickly_read(body) else None
    except (ValueError, RecursionError):
        posted = None
    if not isinstance(posted, dict):
        raise NotAmazonsError("The body is not the JSON that SNS posts.")
    fields = {name: text for name, text in posted.items() if isinstance(text, str)}
    if fields.get("Type") not in SIGNED:
        raise NotAmazonsError(
            "The body is not a signed SNS message: switch off raw message delivery, whose messages are not signed."
        )
    if fields.get("TopicArn") not in topics:
        raise NotAmazonsError("The topic is not configured: add its ARN to BELLHOP_SNS_TOPICS.")
    url = fields.get("SigningCertURL", "")
    if not is_sns_url(url, fields["TopicArn"]) or not CERTIFICATE.fullmatch(url):
        raise NotAmazonsError("SigningCertURL is not a URL of Amazon SNS.")
    return SnsMessage(fields["TopicArn"], fields["Type"], fields, url)


def _is_quickly_read(body: bytes) -> bool:
    lengths = [match.end() - match.start() for match in islice(STRING.finditer(body), MAX_STRINGS + 1)]
    return len(lengths) <= MAX_STRINGS and len(body) - sum(lengths) <= MAX_OTHER_BYTES


def is_sns_url(url: str, topic: str) -> bool:
    """Return whether a URL is one of SNS in the region of `topic`."""
    arn = TOPIC.fullmatch(topic)
    if arn is None:
        return False
    host = f"sns.{arn[2]}.amazonaws.com" + (".cn" if arn[1] == "aws-cn" else "")
    return re.fullmatch(rf"https://{re.escape(host)}/[\x21-\x7e]*", url) is not None


def verify_sns_message(message: SnsMessage, certificate: bytes) -> None:
    """Check that the key of `certificate` (PEM) signed the message. Raises NotAmazonsError."""
    fields = message.fields
    signed = "".join(f"{name}\n{fields[name]}\n" for name in SIGNED[message.type] if name in fields)
    digest = DIGESTS.get(fields.get("SignatureVersion", ""))
    if digest is None:
        raise NotAmazonsError("The signature version is not supported.")
    try:
        key = load_pem_x509_certificate(certificate).public_key()
        signature = b64decode(fields.get("Signature", ""), validate=True)
        cast(rsa.RSAPublicKey, key).verify(
            signature, signed.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), digest
        )
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotAmazonsError("The signature does not match.") from None
