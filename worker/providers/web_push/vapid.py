"""Tells push services who sends (VAPID, RFC 8292): one signed token for each push service, kept and renewed."""

import time
from collections import OrderedDict
from typing import NamedTuple

import jwt

from bellhop.clock import Seconds
from bellhop.domain.web_push import push_host
from bellhop.vapid_keys import read_private_key

TOKEN_LIFE_S = 12 * 3600
"""RFC 8292 (section 2) allows a day."""
RENEW_AFTER_S = 3600
MOST_AUDIENCES = 1_000
"""Tokens kept. Some push services have hundreds of hosts, and a user's app chooses the endpoint."""


class _Header(NamedTuple):
    value: str
    signed_at_s: Seconds
    """Unix time."""


class VapidHeaders:
    """The values of Authorization for one web app."""

    def __init__(self, private_key: str, public_key: str, subject: str) -> None:
        """The keys are in base64url. Raises ValueError for a private key that is not of the curve."""
        self._key = read_private_key(private_key)
        self._public_key, self._subject = public_key, subject
        self._headers: OrderedDict[str, _Header] = OrderedDict()

    def of(self, endpoint: str) -> str:
        """Return the header for a push to this endpoint."""
        audience = f"https://{push_host(endpoint)}"
        now, header = Seconds(time.time()), self._headers.get(audience)
        # A token from the future was signed while our clock was wrong: push services may refuse it.
        if header is None or not header.signed_at_s <= now < header.signed_at_s + RENEW_AFTER_S:
            header = self._headers[audience] = self._signed(audience, now)
            if len(self._headers) > MOST_AUDIENCES:
                self._headers.popitem(last=False)
        return header.value

    def _signed(self, audience: str, now: Seconds) -> _Header:
        claims = {"aud": audience, "exp": int(now) + TOKEN_LIFE_S, "sub": self._subject}
        token = jwt.encode(claims, self._key, "ES256")
        return _Header(f"vapid t={token}, k={self._public_key}", now)
