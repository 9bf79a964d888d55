"""A request's token -> who asks. The token is the one that the app or the backend has for Stream already. No I/O."""

import json
import warnings
from typing import Any, NamedTuple

import jwt
from jwt.warnings import InsecureKeyLengthWarning
from pydantic import TypeAdapter, ValidationError

from bellhop.domain.device import UserId
from webhook.api_errors import ApiProblem, Problem
from webhook.intake.signature import DUMMY_APP, KeyRing

ALGORITHM = "HS256"
"""The only one: a token that names another, or none, is refused whatever it says."""
LEEWAY_S = 10
"""How far the clock of who made a token may be from ours."""
MAX_TOKEN = 4096
"""Characters of a token; Stream's have about two hundred."""

LIMITED = frozenset({"call_cids", "channel_cids"})
"""Claims of a token that a backend gives to somebody for some calls (create_call_token), not for all of a user's."""

# Stream chooses how long its secrets are; PyJWT would say so about every token.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
_jws = jwt.PyJWS()
_user_id: TypeAdapter[str] = TypeAdapter(UserId)


class Requester(NamedTuple):
    """Who asks."""

    tenant: str
    user_id: str | None
    """None for a backend, which may act for any user."""


def authenticate(ring: KeyRing, *, authorization: str | None, api_key: str | None, now: float) -> Requester:
    """Check a token (`authorization`: with "Bearer " before it or, as Stream's clients send it, without).

    `api_key` chooses the app; it proves nothing. `now` in unix seconds. Raises ApiProblem, and nothing else, whatever
    the texts are.
    """
    token = (authorization or "").strip()
    scheme, _, rest = token.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else token
    if not token:
        raise ApiProblem(Problem.NO_TOKEN)
    app = ring.find(api_key)
    # Every secret is tried, so that the time taken does not tell which one it was.
    payloads = [payload for secret in (app or DUMMY_APP).secrets if (payload := _signed(token, secret)) is not None]
    if app is None:
        raise ApiProblem(Problem.UNKNOWN_APP)
    claims = _claims(payloads[0] if payloads else b"")
    _check_time(claims, now)
    if not LIMITED.isdisjoint(claims):
        raise ApiProblem(Problem.LIMITED_TOKEN)
    if _of_server(claims):
        return Requester(app.tenant, None)
    try:
        return Requester(app.tenant, _user_id.validate_python(claims.get("user_id")))
    except ValidationError:
        raise ApiProblem(Problem.BAD_TOKEN) from None


def _of_server(claims: dict[str, Any]) -> bool:
    """Whether it is a backend's: most of Stream's SDKs say so, that for Python (getstream) says when and nothing else.

    Nothing else at all: a token that a backend made for a user without a name has an end, and must not open everything.
    """
    return claims.keys() == {"iat"} or ("user_id" not in claims and claims.get("server") is True)


def _claims(payload: bytes) -> dict[str, Any]:
    """Read what was signed."""
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise ApiProblem(Problem.BAD_TOKEN)
    return claims


def _signed(token: str, secret: bytes) -> bytes | None:
    """Read the token's payload if `secret` signed it. The signatures are compared in constant time."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        payload: bytes = _jws.decode(token, secret, algorithms=[ALGORITHM])
    except (jwt.PyJWTError, ValueError, RecursionError):  # the last: for brackets without end, of older PyJWT
        return None
    return payload


def _check_time(claims: dict[str, Any], now: float) -> None:
    """Honour exp, nbf and iat (RFC 7519, 4.1), each optional."""
    expires, *begins = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and now >= expires + LEEWAY_S:
        raise ApiProblem(Problem.EXPIRED_TOKEN)
    if any(begin is not None and now < begin - LEEWAY_S for begin in begins):
        raise ApiProblem(Problem.EARLY_TOKEN)


def _moment(claims: dict[str, Any], name: str) -> float | None:
    if claims.get(name) is None:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - JSON's NaN
        raise ApiProblem(Problem.BAD_TOKEN)
    return value
