"""A stand-in for Apple's push service on 127.0.0.1: HTTP/2 over TLS, Apple's rules, and failures on request."""

import asyncio
import json
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from h2.settings import SettingCodes

from bellhop.clock import Seconds
from bellhop.sandbox.apple_connection import MAX_STREAMS, AppleConnection, IncomingRequest
from bellhop.sandbox.apple_rules import AppleRefusal, provider_token_refusal, refusal_of
from bellhop.sandbox.apple_script import AppleReply, Behaviour
from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.tls import Authority

TOKEN_UPDATE_EVERY_S = 20 * 60


def new_signing_key() -> tuple[str, str]:
    """Make a token signing key as Apple's developer site does: the text of the .p8 file, and the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True, slots=True)
class AppleRequest:
    """One request that arrived."""

    token: str
    headers: Mapping[str, str]
    body: bytes
    at: Seconds
    """Unix time in seconds."""
    connection: int
    """The number of its connection; the first is 1."""
    behaviour: Behaviour
    """What the stand-in did with it."""

    @property
    def accepted(self) -> bool:
        """True if Apple would deliver the push."""
        return isinstance(self.behaviour, AppleReply) and self.behaviour.status == 200

    @property
    def payload(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


@dataclass
class AppleStandIn:
    """Listens after `start` (or in `async with`), accepts pushes by Apple's rules, and keeps every request."""

    authority: Authority
    """Issues the server's certificate."""
    port: int = 0
    """0 chooses a free port."""
    public_key: str | None = None
    """PEM text. Provider tokens are verified with it; None accepts any signature."""
    client_certificates: bool = False
    """Accept a client certificate signed by our CA instead of a provider token."""
    limit_token_updates: bool = False
    """Refuse a second provider token on a connection within 20 minutes."""
    one_stream_at_first: bool = False
    """Allow a single stream until the first accepted request, as Apple does to clients with tokens."""
    initial_window: int = 65_535
    """Flow-control window of a stream, in bytes."""
    header_table_size: int = 4096
    """Size of the HPACK table for the clients' headers, in bytes."""
    answer_delay_s: Seconds = Seconds(0.0)
    drop_connections: int = 0
    """Close this many new connections right after their TLS handshake."""
    on_push: Callable[[AppleRequest], None] | None = None
    """Called for every accepted push."""
    interfere: Callable[[str], Behaviour | None] | None = None
    """Called with the device token of each push that has no script. What it returns replaces Apple's usual answer."""
    keep: bool = True
    """Keep the requests in `requests`."""
    requests: list[AppleRequest] = field(default_factory=list)
    connections: list[AppleConnection] = field(default_factory=list)
    """All connections since the start, closed ones included."""

    def __post_init__(self) -> None:
        self._scripts: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._connection_scripts: dict[int, deque[Behaviour]] = defaultdict(deque)
        self._verified: dict[str, AppleRefusal | None] = {}
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The CA certificate that clients must trust."""
        return self.authority.ca_file

    @property
    def received(self) -> list[AppleRequest]:
        """The accepted pushes."""
        return [request for request in self.requests if request.accepted]

    def script(self, token: str, *behaviours: Behaviour) -> None:
        """Set what the next pushes to `token` get, one after the other. Later pushes get Apple's usual answer."""
        self._scripts[token].extend(behaviours)

    def script_connection(self, number: int, *behaviours: Behaviour) -> None:
        """Set the same for the next requests on a connection; the first connection is 1."""
        self._connection_scripts[number].extend(behaviours)

    def silence(self) -> None:
        """Send nothing more on the connections that are open now."""
        for connection in self.connections:
            connection.silent = True

    async def start(self) -> None:
        """Start to listen, or listen again after `go_dark` or `stop_listening`."""
        self.stop_listening()
        context = self.authority.server_context("h2")
        if self.client_certificates:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.ca_file)
        await self._listen(self._connection, context)

    async def go_dark(self) -> None:
        """Accept new TCP connections and send nothing on them. Open connections stay as they are."""
        self.stop_listening()
        await self._listen(asyncio.Protocol, None)

    def stop_listening(self) -> None:
        """Refuse new connections. Open connections stay as they are."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self.stop_listening()
        for connection in self.connections:
            connection.drop()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _listen(self, protocol: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None) -> None:
        self.port = self.port or free_port()
        self._server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", self.port, ssl=context)

    def _connection(self) -> AppleConnection:
        settings: dict[SettingCodes | int, int] = {
            SettingCodes.MAX_CONCURRENT_STREAMS: 1 if self.one_stream_at_first else MAX_STREAMS,
            SettingCodes.INITIAL_WINDOW_SIZE: self.initial_window,
            SettingCodes.HEADER_TABLE_SIZE: self.header_table_size,
        }
        connection = AppleConnection(len(self.connections) + 1, self._decide, settings)
        self.connections.append(connection)
        if self.drop_connections:
            self.drop_connections -= 1
            connection.close_after_handshake = True
        return connection

    def _decide(self, connection: AppleConnection, request: IncomingRequest) -> Behaviour:
        headers, body = request.headers, bytes(request.body)
        path, now = headers.get(":path", ""), Seconds(time.time())
        token = path.removeprefix("/3/device/")
        refusal = self._credentials_refusal(connection, headers.get("authorization", ""), now) or refusal_of(
            headers.get(":method", ""), path, headers, body
        )
        scripts = [
            script for script in (self._scripts.get(token), self._connection_scripts.get(connection.number)) if script
        ]
        behaviour: Behaviour = AppleReply(delay_s=self.answer_delay_s)
        if refusal is not None:
            behaviour = AppleReply(refusal.status, refusal.reason)
        elif scripts:
            behaviour = scripts[0].popleft()
        elif self.interfere is not None:
            behaviour = self.interfere(token) or behaviour
        received = AppleRequest(token, headers, body, now, connection.number, behaviour)
        if self.keep:
            self.requests.append(received)
        if received.accepted:
            if self.one_stream_at_first and not connection.has_accepted:
                connection.allow_streams(MAX_STREAMS)
            connection.has_accepted = True
            if self.on_push is not None:
                self.on_push(received)
        return behaviour

    def _credentials_refusal(
        self, connection: AppleConnection, authorization: str, now: Seconds
    ) -> AppleRefusal | None:
        if connection.client_certificate:
            return None
        if authorization not in self._verified:
            self._verified[authorization] = provider_token_refusal(authorization, self.public_key, now)
        if refusal := self._verified[authorization]:
            return refusal
        used = connection.provider_tokens
        if authorization not in (token for _, token in used):
            if self.limit_token_updates and used and now - used[-1][0] < TOKEN_UPDATE_EVERY_S:
                return AppleRefusal(429, "TooManyProviderTokenUpdates")
            used.append((now, authorization))
        return None
