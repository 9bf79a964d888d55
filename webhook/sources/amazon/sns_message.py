"""What Amazon's SNS posts -> a message that Amazon signed, of a topic that we know. Pure.

The checks are those of Amazon's page "Verifying the signatures of Amazon SNS messages". The certificate's address
stands in the message itself, so it is believed only on the host that the configured topic's own region has.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
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
"""The fields that Amazon signs, in its order."""
DIGESTS: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - Amazon's default


class NotAmazonsError(ValueError):
    """The request is of no topic that we know, or not Amazon's. The text says which, for whoever reads the answer."""


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """A message that claims to be of a topic that we know."""

    topic: str
    type: str
    fields: Mapping[str, str]
    certificate_url: str


def read(body: bytes, topics: Mapping[str, str]) -> SnsMessage:
    """Read what was posted. `topics`: whose keys are the ARNs that we know. Raises NotAmazonsError."""
    try:
        posted = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAmazonsError("The body is not SNS's JSON.") from None
    fields = {name: text for name, text in posted.items() if isinstance(text, str)} if isinstance(posted, dict) else {}
    if fields.get("Type") not in SIGNED:
        raise NotAmazonsError("The body is no message of SNS: switch raw message delivery off, it is not signed.")
    if fields.get("TopicArn") not in topics:
        raise NotAmazonsError("The topic is not configured: add its ARN to BELLHOP_SNS_TOPICS.")
    url = fields.get("SigningCertURL", "")
    if not of_amazon(url, fields["TopicArn"]) or not CERTIFICATE.fullmatch(url):
        raise NotAmazonsError("SigningCertURL does not lead to Amazon.")
    return SnsMessage(fields["TopicArn"], fields["Type"], fields, url)


def of_amazon(url: str, topic: str) -> bool:
    """Tell whether a URL leads to SNS in the region of `topic`."""
    found = TOPIC.fullmatch(topic)
    if found is None:
        return False
    host = f"sns.{found[2]}.amazonaws.com" + (".cn" if found[1] == "aws-cn" else "")
    return re.fullmatch(rf"https://{re.escape(host)}/[\x21-\x7e]*", url) is not None


def verify(message: SnsMessage, certificate: bytes) -> None:
    """Check that the key of `certificate` (PEM) signed the message. Raises NotAmazonsError."""
    fields = message.fields
    signed = "".join(f"{name}\n{fields[name]}\n" for name in SIGNED[message.type] if name in fields)
    digest = DIGESTS.get(fields.get("SignatureVersion", ""))
    if digest is None:
        raise NotAmazonsError("The signature is of a version that is not known here.")
    try:
        key = load_pem_x509_certificate(certificate).public_key()
        signature = b64decode(fields.get("Signature", ""), validate=True)
        cast(rsa.RSAPublicKey, key).verify(
            signature, signed.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), digest
        )
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotAmazonsError("The signature does not match.") from None
