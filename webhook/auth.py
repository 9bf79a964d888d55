"""A token -> the tenant and the user it acts for. It is the same token that clients use for Stream. No I/O."""

import json
import math
import warnings
from collections.abc import Collection
from typing import Any, NamedTuple

import jwt
from jwt.warnings import InsecureKeyLengthWarning
from pydantic import TypeAdapter, ValidationError

from bellhop.clock import Seconds
from bellhop.domain.device import UserId
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.intake.signature import DUMMY_APP, KeyRing, SigningApp

ALGORITHM = "HS256"
"""The only accepted algorithm. A token with another one, or none, is refused."""
LEEWAY_S = 10
"""Accepted difference between our clock and that of the token's issuer."""
MAX_TOKEN = 4096
"""Longest token, in characters. Stream's have about two hundred."""

LIMITING_CLAIMS = frozenset({"call_cids", "channel_cids"})
"""Claims of a token that is limited to some calls (create_call_token). It must not open all of a user's data."""

# Stream decides how long its secrets are. PyJWT would warn about a short one for every token.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
_jws = jwt.PyJWS()
_user_id: TypeAdapter[str] = TypeAdapter(UserId)


class Requester(NamedTuple):
    """The sender of a request."""

    tenant: str
    user_id: str | None
    """None for a server token, which may act for any user."""
    issued_at_s: Seconds | None = None
    """When the token was issued, if it says so."""
    expires_at_s: Seconds | None = None
    """When the token expires, if it does."""


def authenticate(
    ring: KeyRing,
    *,
    authorization: str | None,
    api_key: str | None,
    now_s: Seconds,
    audiences: Collection[str] = (),
) -> Requester:
    """Check the token of the Authorization header, with or without "Bearer " (Stream's clients send it without).

    `api_key` only chooses the app; it proves nothing. `now_s` is unix time. A token with an audience must name one of
    `audiences`. Raises ApiError, and nothing else, for any texts.
    """
    token = _without_scheme((authorization or "").strip())
    if not token:
        raise ApiError(ApiErrorKind.MISSING_TOKEN)
    app, claims = _verify(ring.find(api_key), token)
    _check_times(claims, now_s)
    _check_audience(claims, audiences)
    if not LIMITING_CLAIMS.isdisjoint(claims):
        raise ApiError(ApiErrorKind.LIMITED_TOKEN)
    expires_at_s = _time_claim(claims, "exp")
    if _is_server_token(claims):
        return Requester(app.tenant, None, expires_at_s=expires_at_s)
    try:
        user_id = _user_id.validate_python(claims.get("user_id"))
        return Requester(app.tenant, user_id, _time_claim(claims, "iat"), expires_at_s)
    except ValidationError:
        raise ApiError(ApiErrorKind.INVALID_TOKEN) from None


def _without_scheme(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else header


def _verify(app: SigningApp | None, token: str) -> tuple[SigningApp, dict[str, Any]]:
    # Try every secret, so that the time taken does not reveal which one matched.
    payloads = [_signed_payload(token, secret) for secret in (app or DUMMY_APP).secrets]
    if app is None:
        raise ApiError(ApiErrorKind.UNKNOWN_APP)
    return app, _claims(next((payload for payload in payloads if payload is not None), b""))


def _signed_payload(token: str, secret: bytes) -> bytes | None:
    """Return the token's payload if `secret` signed it. The signatures are compared in constant time."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        payload: bytes = _jws.decode(token, secret, algorithms=[ALGORITHM])
    except (jwt.PyJWTError, ValueError, RecursionError):  # RecursionError: older PyJWT, for endless brackets
        return None
    return payload


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise ApiError(ApiErrorKind.INVALID_TOKEN)
    return claims


def _is_server_token(claims: dict[str, Any]) -> bool:
    """Return whether it is a server token: most of Stream's SDKs claim `server`, the one for Python only `iat`.

    "Only iat" must stay exact: a user token without a user id also has an `exp`, and must not open everything.
    """
    return claims.keys() == {"iat"} or ("user_id" not in claims and claims.get("server") is True)


def _check_times(claims: dict[str, Any], now_s: Seconds) -> None:
    """Check exp, nbf and iat (RFC 7519, 4.1), each optional."""
    expires_s, *starts_s = (_time_claim(claims, name) for name in ("exp", "nbf", "iat"))
    if expires_s is not None and now_s >= expires_s + LEEWAY_S:
        raise ApiError(ApiErrorKind.EXPIRED_TOKEN)
    if any(start_s is not None and now_s < start_s - LEEWAY_S for start_s in starts_s):
        raise ApiError(ApiErrorKind.TOKEN_NOT_YET_VALID)


def _check_audience(claims: dict[str, Any], audiences: Collection[str]) -> None:
    """Check aud (RFC 7519, 4.1.3). Stream's tokens have none; a backend may add it."""
    if "aud" not in claims:
        return
    named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if not any(isinstance(name, str) and name in audiences for name in named):
        raise ApiError(ApiErrorKind.WRONG_AUDIENCE)


def _time_claim(claims: dict[str, Any], name: str) -> Seconds | None:
    if claims.get(name) is None:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise ApiError(ApiErrorKind.INVALID_TOKEN)
    return Seconds(value)
