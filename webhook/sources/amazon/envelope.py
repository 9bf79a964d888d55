"""A message of Amazon's SQS -> the JSON that Stream put into it. Pure."""

import binascii
import json
from base64 import b64decode

from webhook.intake.signature import GZIP_MAGIC, Refused, inflate


class UnreadableMessage(ValueError):  # noqa: N818 - it is what came
    """A message that no event can be found in."""


def unwrap(message: str) -> bytes:
    """Find the event in a message: JSON, or base64 of it, gzipped or not (Stream's SQS and SNS pages).

    An SNS topic in between puts it into an envelope of its own, unless raw message delivery is on. Raises
    UnreadableMessage, and nothing else.
    """
    inner = _published(message)
    text = message if inner is None else inner
    if text.lstrip().startswith("{"):
        return text.encode("utf-8", "surrogatepass")
    try:
        body = b64decode(text, validate=True)
        return inflate(body) if body.startswith(GZIP_MAGIC) else body
    except (binascii.Error, ValueError):
        raise UnreadableMessage("it is neither JSON nor base64") from None
    except Refused as refused:
        raise UnreadableMessage(refused.refusal.sentence) from None


def _published(message: str) -> str | None:
    try:
        envelope = json.loads(message) if message.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, dict) or envelope.get("Type") != "Notification" or "TopicArn" not in envelope:
        return None
    inner = envelope.get("Message")
    return inner if isinstance(inner, str) else None
