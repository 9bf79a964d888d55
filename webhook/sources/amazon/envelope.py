"""A message of Amazon's SQS or SNS -> the JSON that Stream put into it. Pure."""

import binascii
import json
from base64 import b64decode

from webhook.intake.signature import GZIP_MAGIC, RefusedWebhook, inflate


class UnreadableMessage(ValueError):  # noqa: N818 - it is what happened to a message
    """No event can be found in the message. The text is the reason."""


def unwrap(message: str) -> bytes:
    """Return the event in a message: JSON, or JSON in base64, gzipped or not (Stream's SQS and SNS pages).

    If Stream publishes to an SNS topic that feeds the queue, SNS adds an envelope, unless raw message delivery is on.
    Raises UnreadableMessage, and nothing else.
    """
    published = _published(message)
    text = message if published is None else published
    if text.lstrip().startswith("{"):
        return text.encode("utf-8", "surrogatepass")
    try:
        body = b64decode(text, validate=True)
        return b"".join(inflate(body)) if body.startswith(GZIP_MAGIC) else body
    except (binascii.Error, ValueError):
        raise UnreadableMessage("it is neither JSON nor base64") from None
    except RefusedWebhook as refused:
        raise UnreadableMessage(refused.refusal.sentence) from None


def _published(message: str) -> str | None:
    """Return the text in SNS's envelope; None if there is no envelope."""
    try:
        envelope = json.loads(message) if message.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, dict) or envelope.get("Type") != "Notification" or "TopicArn" not in envelope:
        return None
    published = envelope.get("Message")
    return published if isinstance(published, str) else None
