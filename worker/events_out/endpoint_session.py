"""The HTTP session to one endpoint: bounded in connections, time and bytes, and only to addresses that are allowed."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bellhop.clock import Seconds
from bellhop.public_address import Networks, NotPublicError, allowed_socket, public_socket
from worker.providers.client_tls import client_tls
from worker.providers.openssl_words import openssl_words


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """The limits of a request to an endpoint. Tests pass smaller ones."""

    in_flight: int = 16
    """Requests at the same time to one endpoint, from one worker."""
    total_s: Seconds = Seconds(15.0)
    """How long one request may take, from the look-up of the name to the end of the answer."""
    connect_s: Seconds = Seconds(5.0)
    answer_bytes: int = 1 << 16
    """What is read of an answer's body at most."""
    body_s: Seconds = Seconds(1.0)
    """How long reading it may take."""
    idle_s: Seconds = Seconds(30.0)


class EndpointAnswer(NamedTuple):
    """What a request got: an HTTP status, or a reason why there is none."""

    status: int
    reason: str = ""
    retry_after: str | None = None


class OwnThreadResolver(AbstractResolver):
    """Looks names up in a separate thread.

    The threads of the event loop also look Google's name up. A name server that hangs must not occupy them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="endpoint-name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        )
        return [_result(host, port, info) for info in found]

    async def close(self) -> None:
        """End the thread, without waiting for a look-up that hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class EndpointSession:
    """Posts to one URL."""

    def __init__(self, url: str, allowed: Networks, policy: RequestPolicy, ca_file: Path | None = None) -> None:
        self._url, self.policy = url, policy
        self._resolver, encrypted = OwnThreadResolver(), urlsplit(url).scheme == "https"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=policy.in_flight,
                ssl=client_tls(ca_file) if encrypted else True,
                # Without TLS, a request may only stay inside the allowed networks.
                socket_factory=public_socket(allowed) if encrypted else allowed_socket(allowed),
                resolver=self._resolver,
                keepalive_timeout=policy.idle_s,
            ),
            timeout=aiohttp.ClientTimeout(total=policy.total_s, sock_connect=policy.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "bellhop", "Content-Type": "application/json"},
        )

    async def post(self, headers: Mapping[str, str], body: str) -> EndpointAnswer:
        """Make one request. Raises nothing but CancelledError."""
        try:
            async with self._session.post(
                self._url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                answer = EndpointAnswer(response.status, retry_after=response.headers.get("Retry-After"))
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):  # the status counts, whatever follows it
                    await self._skip_body(response.content)
                return answer
        except TimeoutError:
            return EndpointAnswer(0, f"no answer within {self.policy.total_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return EndpointAnswer(0, _in_words(error))

    async def _skip_body(self, content: aiohttp.StreamReader) -> None:
        """Read the body, within limits, so that the connection is used again. A longer one closes it."""
        left = self.policy.answer_bytes
        async with asyncio.timeout(self.policy.body_s):
            while left > 0 and (chunk := await content.read(left)):
                left -= len(chunk)

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()


def _result(host: str, port: int, info: tuple[Any, ...]) -> ResolveResult:
    family, _, protocol, _, address = info
    return ResolveResult(
        hostname=host, host=address[0], port=port, family=family, proto=protocol, flags=socket.AI_NUMERICHOST
    )


def _in_words(error: BaseException) -> str:
    """Say why there is no answer. The text contains nothing of the URL or of the request."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, NotPublicError):
        return str(cause.strerror)
    if isinstance(cause, socket.gaierror):
        return "the name has no address"
    if isinstance(error, aiohttp.InvalidURL):
        return "the URL is not valid"
    return f"{type(cause).__name__}{openssl_words(error)}"
