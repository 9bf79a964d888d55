"""Sends pushes to Firebase Cloud Messaging: one attempt per call, on a connection that stays open."""

import asyncio
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from bellhop.clock import Seconds, seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes, size_of
from bellhop.domain.push import RINGING, Push, PushKind
from worker.providers.answer_timeout import AnswerTimeout
from worker.providers.fcm import fcm_answers
from worker.providers.fcm.fcm_access import AccessToken, AccessTokens
from worker.providers.fcm.pyfcm_adapter import FcmMessage, FcmProject
from worker.providers.in_flight import InFlight
from worker.providers.post_session import PostSession, SessionPolicy
from worker.providers.posted_body import PostedBody
from worker.providers.time_to_live import time_to_live_s

DEFAULT_POLICY = SessionPolicy()


class FcmSender:
    """A `Sender` for one Firebase project."""

    def __init__(
        self,
        service_account_file: Path,
        url: str = "https://fcm.googleapis.com",
        ca_file: Path | None = None,
        proxy: str = "",
        *,
        policy: SessionPolicy = DEFAULT_POLICY,
    ) -> None:
        """`proxy` is an HTTP proxy (http://host:port) to reach Google through.

        Raises OSError, ValueError or KeyError for files that are not what they should be.
        """
        self._project = FcmProject(service_account_file, url)
        self._tokens = AccessTokens(self._project.credentials, self._project.token_uri, policy.token_timeout_s)
        self.max_in_flight = policy.connections
        """How many pushes can be in flight. More would wait for a connection, where they cannot be called off."""
        self._session = PostSession(policy, ca_file, proxy)
        self._in_flight = InFlight()

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make one attempt. See `worker.providers.sender.Sender`."""
        priority = "HIGH" if push.options.urgent else "NORMAL"
        android: dict[str, Any] = {"priority": priority, "ttl": f"{time_to_live_s(push)}s"}
        if push.kind in RINGING:
            android["direct_boot_ok"] = True
        not_after_s = Seconds(asyncio.get_running_loop().time() + start_s)
        label = push.options.analytics_label
        options = {"analytics_label": label} if label else None
        message = FcmMessage(push.device.token, dict(push.payload), android, options, _for_iphone(push))
        return await self._deliver(message, timeout_s, not_after_s)

    async def validate(self, token: str, timeout_s: Seconds = Seconds(10)) -> AttemptResult:
        """Ask FCM whether it would accept a message for this token. Nothing is delivered."""
        return await self._deliver(FcmMessage(token, {"type": "check"}, {}), timeout_s, dry_run=True)

    async def prepare(self, environment: Environment, within_s: Seconds) -> None:
        """Wait for the access token. A connection is opened by the push that needs it, and kept for the next one.

        See `worker.providers.sender.Sender`.
        """
        if self._tokens.valid or self._in_flight.closed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._tokens.get(self._session.get())

    async def warm(self) -> AttemptResult | None:
        """Fetch the access token, so that the first push need not wait for it. Returns why there is none."""
        token = await self._tokens.get(self._session.get())
        return token if isinstance(token, AttemptResult) else None

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        await self._in_flight.drained()
        await self._tokens.close()
        await self._session.close()

    async def _deliver(
        self,
        message: FcmMessage,
        timeout_s: Seconds,
        not_after_s: Seconds = Seconds(math.inf),
        dry_run: bool = False,
    ) -> AttemptResult:
        body = self._body(message, dry_run=dry_run)
        if isinstance(body, AttemptResult):
            return body
        if self._in_flight.closed:
            return AttemptResult(Outcome.UNSENT, reason="CLOSED")
        with self._in_flight:
            return await self._attempt(body, timeout_s, not_after_s)

    def _body(self, message: FcmMessage, *, dry_run: bool) -> bytes | AttemptResult:
        if not message.data:  # pyfcm would send an empty notification
            return AttemptResult(Outcome.BAD_REQUEST, reason="EMPTY_PAYLOAD")
        try:
            if size_of(Provider.FCM, message.data) > most_bytes(Provider.FCM, PushKind.RING):
                return AttemptResult(Outcome.TOO_LARGE, reason="PAYLOAD_TOO_LARGE")
            return self._project.body(message, dry_run=dry_run)
        except (AttributeError, TypeError, ValueError):  # not text, or text that UTF-8 cannot encode
            return AttemptResult(Outcome.BAD_REQUEST, reason="PAYLOAD_NOT_TEXT")

    async def _attempt(self, body: bytes, timeout_s: Seconds, not_after_s: Seconds) -> AttemptResult:
        session = self._session.get()
        refused: AccessToken | None = None
        payload: PostedBody | None = None
        try:
            async with AnswerTimeout(timeout_s):
                while True:
                    payload = None
                    token = await (self._tokens.renewed(refused, session) if refused else self._tokens.get(session))
                    if isinstance(token, AttemptResult):
                        return token
                    payload = PostedBody(body, not_after_s)
                    headers = {"Authorization": f"Bearer {token.value}"}
                    async with session.post(
                        self._project.endpoint, data=payload, headers=headers, allow_redirects=False
                    ) as response:
                        content = await response.read()
                    if refused or not fcm_answers.asks_for_new_access_token(response.status, content):
                        retry_after = response.headers.get("Retry-After")
                        return fcm_answers.answer(response.status, content, retry_after, Seconds(time.time()))
                    refused = token
        except (aiohttp.ClientError, OSError) as error:
            if payload is None:  # there was no access token yet
                return AttemptResult(Outcome.UNSENT, reason="TOKEN_ENDPOINT")
            return payload.result_without_answer(error)


def _for_iphone(push: Push) -> dict[str, Any] | None:
    """Return the part of a message that Google passes on to Apple; None for an Android phone."""
    if push.aps is None:
        return None
    headers = {
        "apns-priority": "10" if push.options.urgent else "5",
        "apns-expiration": str(int(seconds(push.deadline))),
    }
    if push.collapse_id:
        headers["apns-collapse-id"] = push.collapse_id
    return {"headers": headers, "payload": {"aps": push.aps}}
