"""Sends pushes to browsers: one attempt per call, encrypted for the browser, on a connection that stays open.

It uses HTTP/2, and HTTP/1.1 for push services without HTTP/2."""

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog
from pydantic_core import to_json

from bellhop.clock import Seconds
from bellhop.domain.device import Environment, Provider
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.domain.payloads import most_bytes
from bellhop.domain.push import Push
from bellhop.domain.web_push import from_base64url, push_host, service_of
from bellhop.public_address import parse_networks, public_socket
from worker.providers.client_tls import client_tls
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_pool import Http2Pool
from worker.providers.http2.http2_stream import NotHttp2Error
from worker.providers.in_flight import InFlight
from worker.providers.post_session import PostSession, SessionPolicy, new_socket
from worker.providers.time_to_live import time_to_live_s
from worker.providers.web_push.encrypted_push import EncryptedPush
from worker.providers.web_push.http1_posts import post_by_http1
from worker.providers.web_push.http2_posts import post_by_http2
from worker.providers.web_push.message_encryption import encrypt
from worker.providers.web_push.push_service_pools import PushServicePools
from worker.providers.web_push.vapid import VapidHeaders

log = structlog.get_logger()

DEFAULT_POLICY = SessionPolicy()
MOST_CONNECTIONS = 2
"""HTTP/2 connections to one host."""


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
        """Pushes go to `services` only, and to public addresses or `allowed_networks` only. With a proxy
        (http://host:port), the proxy connects to the addresses, and Bellhop does not check them.

        Raises OSError for an unreadable CA file, and ValueError for a wrong network.
        """
        self._vapid, self._services = vapid, tuple(services)
        self.max_in_flight = policy.connections
        """How many pushes to one host can be in flight. With HTTP/1.1, more would wait for a connection."""
        make_socket = new_socket if proxy else public_socket(parse_networks(allowed_networks))
        self._session = PostSession(policy, ca_file, proxy, make_socket)
        tls = partial(client_tls, ca_file, alpn=("h2", "http/1.1"))
        http2 = ConnectionPolicy(idle_s=policy.idle_s, connect_timeout_s=policy.connect_timeout_s)
        self._pools = PushServicePools(
            lambda url: Http2Pool(url, tls, proxy, MOST_CONNECTIONS, http2, make_socket=make_socket)
        )
        self._in_flight = InFlight()

    async def send(self, push: Push, timeout_s: Seconds, start_s: Seconds = Seconds(math.inf)) -> AttemptResult:
        """Make one attempt. See `worker.providers.sender.Sender`."""
        not_after_s = Seconds(asyncio.get_running_loop().time() + start_s)
        text = to_json(dict(push.payload))
        if self._in_flight.closed or timeout_s <= 0:
            return AttemptResult(Outcome.UNSENT, reason="CLOSED" if self._in_flight.closed else "no time left")
        if len(text) > most_bytes(Provider.WEB_PUSH, push.kind):
            return AttemptResult(Outcome.TOO_LARGE, reason=f"{len(text)} bytes")
        if service_of(push.device.token, self._services) is None:
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
        await self._pools.close()
        await self._session.close()

    async def _post(self, push: Push, text: bytes, timeout_s: Seconds, not_after_s: Seconds) -> AttemptResult:
        try:
            request = self._request_for(push, text)
        except Exception as error:  # keys of the browser that are not valid, or a mistake of ours
            log.exception("unexpected_error", error=type(error).__name__)
            return AttemptResult(Outcome.BAD_REQUEST, reason=type(error).__name__)
        ends_s = asyncio.get_running_loop().time() + timeout_s
        if pool := self._pools.of(request.host):
            try:
                return await post_by_http2(pool, request, timeout_s, not_after_s)
            except NotHttp2Error:
                self._pools.speaks_http1(request.host)
                timeout_s = Seconds(ends_s - asyncio.get_running_loop().time())
        return await post_by_http1(self._session.get(), request, timeout_s, not_after_s)

    def _request_for(self, push: Push, text: bytes) -> EncryptedPush:
        device = push.device
        return EncryptedPush(
            device.token,
            push_host(device.token),
            self._vapid.of(device.token),
            "high" if push.options.urgent else "normal",
            time_to_live_s(push),
            push.collapse_id or "",
            encrypt(text, from_base64url(device.p256dh), from_base64url(device.auth)),
        )
