"""The checks that Apple makes before it accepts a push. Pure.

Source: Apple, "Sending notification requests to APNs", "Handling notification responses from APNs" and "Establishing
a token-based connection to APNs".
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
from jwt.types import Options

from bellhop.clock import Seconds

PUSH_TYPES = {"alert", "background", "voip", "complication", "fileprovider", "mdm", "liveactivity", "location"}
PUSH_TYPES |= {"pushtotalk", "widgets", "controls"}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
TOKEN_LIFE_S = 3600


class AppleRefusal(NamedTuple):
    """An error that Apple answers."""

    status: int
    reason: str


def refusal_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> AppleRefusal | None:
    """Return the first error of a request, credentials aside; None if Apple would accept it."""
    token = path.removeprefix("/3/device/")
    topic, push_type = headers.get("apns-topic", ""), headers.get("apns-push-type", "alert")
    checks: list[tuple[bool, int, str]] = [
        (method == "POST", 405, "MethodNotAllowed"),
        (path.startswith("/3/device/"), 404, "BadPath"),
        (bool(token), 400, "MissingDeviceToken"),
        (bool(re.fullmatch(r"(?:[0-9a-fA-F]{2}){8,200}", token)), 400, "BadDeviceToken"),
        (bool(topic), 400, "MissingTopic"),
        (bool(UUID.fullmatch(headers.get("apns-id", "0" * 8 + "-0000" * 3 + "-" + "0" * 12))), 400, "BadMessageId"),
        (headers.get("apns-priority", "10") in {"1", "5", "10"}, 400, "BadPriority"),
        (bool(re.fullmatch(r"[0-9]{1,12}", headers.get("apns-expiration", "0"))), 400, "BadExpirationDate"),
        (len(headers.get("apns-collapse-id", "").encode()) <= 64, 400, "BadCollapseId"),
        (push_type in PUSH_TYPES, 400, "InvalidPushType"),
        ((push_type == "voip") == topic.endswith(".voip"), 400, "DeviceTokenNotForTopic"),
        (bool(body), 400, "PayloadEmpty"),
        (len(body) <= (5120 if push_type == "voip" else 4096), 413, "PayloadTooLarge"),
        (isinstance(_parsed(body), dict), 400, "PayloadEmpty"),
    ]
    return next((AppleRefusal(status, reason) for holds, status, reason in checks if not holds), None)


def provider_token_refusal(authorization: str, public_key: str | None, now: Seconds) -> AppleRefusal | None:
    """Return the error of an `authorization` header, None if it is valid. `now` is unix time in seconds.

    `public_key` is PEM text. If it is None, the signature is not verified.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return AppleRefusal(403, "MissingProviderToken")
    try:
        verify: Options = {"verify_iat": False, "verify_signature": public_key is not None}
        claims = jwt.decode(token, public_key or "", algorithms=["ES256"], options=verify)
        identified = bool(jwt.get_unverified_header(token)["kid"] and claims["iss"])
        age_s = now - float(claims["iat"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return AppleRefusal(403, "InvalidProviderToken")
    if not identified:
        return AppleRefusal(403, "InvalidProviderToken")
    return AppleRefusal(403, "ExpiredProviderToken") if age_s > TOKEN_LIFE_S else None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
