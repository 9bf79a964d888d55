"""Sends pushes to browsers: one attempt per call, encrypted for the browser, on a connection that stays open."""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from pydantic_core import to_json
from yarl import URL

from bellhop.clock import Seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes
from bellhop.domain.push import Push
from bellhop.domain.web_push import from_base64url, service_of
from bellhop.public_address import parse_networks, public_socket
from worker.providers.answer_timeout import AnswerTimeout
from worker.providers.in_flight import InFlight
from worker.providers.post_session import PostSession, SessionPolicy, new_socket
from worker.providers.posted_body import PostedBody
from worker.providers.time_to_live import time_to_live_s
from worker.providers.web_push.message_encryption import encrypt
from worker.providers.web_push.vapid import VapidHeaders
from worker.providers.web_push.web_push_answers import read_answer

DEFAULT_POLICY = SessionPolicy()
BINARY = "application/octet-stream"
LONGEST_ANSWER = 16_384
"""Bytes. The connection of a longer answer is closed."""


class WebPushSender:
    """A `Sender` for one web app, to all push services."""

    def __init__(
        self,
        vapid: VapidHeaders,
        services: Sequence[str],
        *,
        allowed_networks: Sequence[str] = (),
        ca_file: Path | None = None,
        proxy: str = "",
        policy: SessionPolicy = DEFAULT_POLICY,
    ) -> None:
        """Pushes go to `services` only, and to public addresses or `allowed_networks` only. Behind a proxy
        (http://host:port), it is the proxy that connects to an address.

        Raises OSError for an unreadable CA file, and ValueError for a wrong network.
        """
        self._vapid, self._services = vapid, tuple(services)
        self.max_in_flight = policy.connections
        """How many pushes to one push service can be in flight. More would wait for a connection."""
        make_socket = new_socket if proxy else public_socket(parse_networks(allowed_networks))
        self._session = PostSession(policy, ca_file, proxy, make_socket)
        self._in_flight = InFlight()

    def service_of(self, endpoint: str) -> str:
        """Return the push service of an endpoint, as the settings write it; empty if it belongs to none."""
        return service_of(endpoint, self._services) or ""

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make one attempt. See `worker.providers.sender.Sender`."""
        not_after_s = Seconds(asyncio.get_running_loop().time() + start_s)
        text = to_json(dict(push.payload))
        if self._in_flight.closed or timeout_s <= 0:
            return AttemptResult(Outcome.UNSENT, reason="CLOSED" if self._in_flight.closed else "no time left")
        if len(text) > most_bytes(Provider.WEB_PUSH, push.kind):
            return AttemptResult(Outcome.TOO_LARGE, reason=f"{len(text)} bytes")
        if not self.service_of(push.device.token):
            return AttemptResult(Outcome.BAD_REQUEST, reason="UNKNOWN_PUSH_SERVICE")
        with self._in_flight:
            return await self._post(push, text, timeout_s, not_after_s)

    async def prepare(self, environment: Environment, within_s: Seconds) -> None:
        """Do nothing: a connection is opened by the push that needs it, and kept for the next one."""

    async def warm(self) -> None:
        """Do nothing: it is not known in advance which push services the users' browsers have."""

    async def close(self) -> None:
        """Let what is in flight finish, then close the connections."""
        await self._in_flight.drained()
        await self._session.close()

    async def _post(self, push: Push, text: bytes, timeout_s: Seconds, not_after_s: Seconds) -> AttemptResult:
        device = push.device
        body = PostedBody(
            encrypt(text, from_base64url(device.p256dh), from_base64url(device.auth)), not_after_s, BINARY
        )
        headers = {
            "Authorization": self._vapid.of(device.token),
            "Content-Encoding": "aes128gcm",
            "TTL": str(time_to_live_s(push)),
            "Urgency": "high" if push.options.urgent else "normal",
        }
        if push.collapse_id:
            headers["Topic"] = push.collapse_id
        url = URL(device.token, encoded=True)
        try:
            async with (
                AnswerTimeout(timeout_s),
                self._session.get().post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                content = await _start_of(response)
                retry_after = response.headers.get("Retry-After")
                return read_answer(response.status, content, retry_after, Seconds(time.time()))
        except (aiohttp.ClientError, OSError) as error:
            return body.result_without_answer(error)


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """Read the answer's body, or the start of a long one."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > LONGEST_ANSWER:
            response.close()
            break
    return bytes(content)
