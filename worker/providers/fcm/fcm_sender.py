"""Pushes through Firebase Cloud Messaging: pyfcm's payload and credentials, one attempt on a warm connection."""

import asyncio
import json
import math
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from google.oauth2 import service_account
from pydantic_core import to_json
from pyfcm import FCMNotification

from bellhop.clock import seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes, size_of
from bellhop.domain.push import Push, PushKind
from worker.providers.fcm import fcm_answers
from worker.providers.fcm.fcm_access import SCOPE, AccessTokens

CONNECTIONS = 128
"""HTTP/1.1 carries one push at a time on each: enough for several hundred a second at Google's usual answer times."""
CONNECT_TIMEOUT_S = 3.0
IDLE_S = 120.0
"""How long an unused connection is kept: less than firewalls on the way are known to remember one."""
UNACKNOWLEDGED_MS = 4000
"""A connection that the network has lost without a word ends this long after something was written to it."""


class FcmSender:
    """Carries pushes to one Firebase project. Implements `bellhop.domain.push.Sender`.

    pyfcm builds the message, and reads the service account with google-auth. Its transport is not used: it blocks a
    thread for minutes, repeats requests by itself, and drops what tells a dead token from a wrong configuration.
    """

    at_once = CONNECTIONS
    """Pushes it carries at the same time. Those beyond wait for a connection: let them wait where they may yet be
    called off."""

    def __init__(
        self,
        service_account_file: Path,
        url: str = "https://fcm.googleapis.com",
        ca_file: Path | None = None,
        proxy: str = "",
        *,
        without_video: bool = False,
    ) -> None:
        """`proxy` is an HTTP proxy (http://host:port) to reach Google through; `without_video` leaves `video` out.

        Raises OSError, ValueError or KeyError for files that are not what they should be.
        """
        account = json.loads(service_account_file.read_bytes())
        credentials = service_account.Credentials.from_service_account_info(account, scopes=[SCOPE])  # type: ignore[no-untyped-call]
        self._pyfcm = FCMNotification(credentials=credentials)
        self._pyfcm.json_dumps = to_json  # in a fifth of the time
        self._pyfcm.FCM_END_POINT_BASE = f"{url.rstrip('/')}/v1/projects"
        self._tokens = AccessTokens(credentials, account["token_uri"])
        self._proxy = proxy or None
        self._without_video = without_video
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._session: aiohttp.ClientSession | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._closed = False

    async def send(self, push: Push, timeout_s: float, start_s: float = math.inf) -> AttemptResult:
        """Make one attempt. See `bellhop.domain.push.Sender`."""
        # Now, not when the push was planned: a phone that comes back to the network must not ring for an old call.
        # "0s" would mean now or never, and a phone that is away for a second would not ring at all.
        left_s = int(seconds(push.deadline) - time.time())
        android: dict[str, Any] = {"priority": "HIGH", "ttl": f"{max(1, left_s)}s"}
        if push.kind is PushKind.RING:
            android["direct_boot_ok"] = True
        not_after = asyncio.get_running_loop().time() + start_s
        data = dict(push.payload)
        if self._without_video:
            data.pop("video", None)
        return await self._deliver(push.device.token, data, android, timeout_s, not_after)

    async def validate(self, token: str, timeout_s: float = 10) -> AttemptResult:
        """Ask FCM whether it would take a message for this token; nothing is delivered."""
        return await self._deliver(token, {"type": "check"}, {}, timeout_s, dry_run=True)

    async def warm(self) -> AttemptResult | None:
        """Fetch the access token, so that the first push need not wait for it; returns why there is none."""
        token = await self._tokens.get(self._open_session())
        return token if isinstance(token, AttemptResult) else None

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        self._closed = True
        if self._in_flight:
            await self._idle.wait()
        await self._tokens.close()
        if self._session is not None:
            await self._session.close()

    async def _deliver(
        self,
        token: str,
        data: dict[str, str],
        android: dict[str, Any],
        timeout_s: float,
        not_after: float = math.inf,
        dry_run: bool = False,
    ) -> AttemptResult:
        try:
            if not data:
                return AttemptResult(
                    Outcome.BAD_REQUEST, reason="EMPTY_PAYLOAD"
                )  # pyfcm would send an empty notification
            if size_of(Provider.FCM, data) > most_bytes(Provider.FCM, PushKind.RING):
                return AttemptResult(Outcome.TOO_LARGE, reason="PAYLOAD_TOO_LARGE")
            body = self._pyfcm.parse_payload(
                fcm_token=token, data_payload=data, android_config=android, dry_run=dry_run
            )
        except (AttributeError, TypeError, ValueError):  # not text, or text that UTF-8 cannot say
            return AttemptResult(Outcome.BAD_REQUEST, reason="PAYLOAD_NOT_TEXT")
        if self._closed:
            return AttemptResult(Outcome.UNSENT, reason="CLOSED")
        self._in_flight += 1
        self._idle.clear()
        try:
            return await self._attempt(body, timeout_s, not_after)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _attempt(self, body: bytes, timeout_s: float, not_after: float) -> AttemptResult:
        session = self._open_session()
        renewed = False
        payload: _Payload | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    payload = None
                    token = await self._tokens.get(session)
                    if isinstance(token, AttemptResult):
                        return token
                    payload = _Payload(body, not_after)
                    headers = {"Authorization": f"Bearer {token.value}"}
                    async with session.post(
                        self._pyfcm.fcm_end_point, data=payload, headers=headers, allow_redirects=False
                    ) as response:
                        content = await response.read()
                    if renewed or not fcm_answers.asks_for_new_access_token(response.status, content):
                        retry_after = response.headers.get("Retry-After")
                        return fcm_answers.answer(response.status, content, retry_after, time.time())
                    self._tokens.refused(token)
                    renewed = True
        except (aiohttp.ClientError, OSError) as error:
            return _unanswered(error, payload)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, ssl=self._tls, keepalive_timeout=IDLE_S, socket_factory=_open_socket
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "bellhop"},
                proxy=self._proxy,
            )
        return self._session


class _Payload(aiohttp.BytesPayload):
    """A request body that knows whether it was written: from then on the provider may have the push.

    After the loop time `not_after` (s) it is not.
    """

    def __init__(self, body: bytes, not_after: float) -> None:
        super().__init__(body, content_type="application/json")
        self._not_after = not_after
        self.written = self.late = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # Headers and body leave together, here. A connection found closed raises before any byte has left.
        if asyncio.get_running_loop().time() > self._not_after:
            self.late = True
            raise ConnectionAbortedError("too late")
        await super().write_with_length(writer, content_length)
        self.written = True


def _unanswered(error: Exception, payload: _Payload | None) -> AttemptResult:
    if payload is None:
        return AttemptResult(Outcome.UNSENT, reason="TOKEN_ENDPOINT")
    if payload.late:
        return AttemptResult(Outcome.DELAYED)
    if payload.written:
        return AttemptResult(
            Outcome.UNKNOWN, reason="TIMEOUT" if isinstance(error, TimeoutError) else "CONNECTION_LOST"
        )
    return AttemptResult(Outcome.UNSENT, reason="CERTIFICATE" if isinstance(error, ssl.CertificateError) else "CONNECT")


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return opened
