"""A stand-in for Google: the OAuth2 token endpoint and FCM's `messages:send`, with failures on request."""

import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import google.auth.exceptions
import google.auth.jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bellhop.clock import Seconds
from bellhop.sandbox import google_rules
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.http_stand_in import HttpStandIn
from bellhop.sandbox.tls import Authority

TOKEN_ENDPOINT = "token endpoint"  # noqa: S105 - its name in scripts and counts
AUDIENCE = "https://oauth2.googleapis.com/token"
"""The audience that an assertion must have, whatever URL it is sent to."""
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class GoogleRequest:
    """One message that was accepted."""

    project_id: str
    token: str
    message: dict[str, Any]
    headers: dict[str, str]
    received_at: Seconds
    """Unix time in seconds."""
    name: str


class GoogleStandIn(HttpStandIn):
    """FCM and the token endpoint on one HTTPS port, for the given Firebase projects."""

    def __init__(
        self,
        folder: Path,
        *projects: str,
        on_push: Callable[[GoogleRequest], None] | None = None,
        authority: Authority | None = None,
        port: int = 0,
    ) -> None:
        authority = authority or Authority(folder)
        super().__init__(authority, port)
        self.ca_file = authority.ca_file
        """The CA certificate that clients must trust."""
        self.projects = projects or ("bellhop-sandbox",)
        self.token_life_s = 3600
        self.answer_delay_s = Seconds(0.0)
        """How long the answer to an accepted message is delayed."""
        self.received: list[GoogleRequest] = []
        self.keep = True
        """Keep the accepted messages in `received`."""
        self.requests: Counter[str] = Counter()
        """The number of requests for each device token, and for TOKEN_ENDPOINT, refused ones included."""
        self.clients: set[Any] = set()
        """The addresses of all connections that have sent a request."""
        self.interfere: Callable[[str], GoogleReply | None] | None = None
        """Called with the device token of each message that has no script. What it returns replaces the usual answer.
        """
        self.on_push = on_push
        """Called for every accepted message."""
        self._scripts: defaultdict[str, list[GoogleReply]] = defaultdict(list)
        self._access_tokens: dict[str, tuple[str, float]] = {}
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """The URL to connect to (BELLHOP_FCM_URL)."""
        return f"https://localhost:{self.port}"

    def script(self, target: str, *replies: GoogleReply) -> None:
        """Set the answers to the next requests for a device token, or to TOKEN_ENDPOINT. Later ones get the usual."""
        self._scripts[target].extend(replies)

    def pushes(self, token: str) -> list[GoogleRequest]:
        """List the messages that were accepted for one device token."""
        return [push for push in self.received if push.token == token]

    def forget_access_tokens(self) -> None:
        """Treat every access token that was issued so far as expired."""
        self._access_tokens = {token: (project, 0.0) for token, (project, _) in self._access_tokens.items()}

    def write_service_account(self, path: Path, project_id: str | None = None, token_uri: str | None = None) -> Path:
        """Write the JSON file that Firebase's console would offer for a project (default: the first)."""
        project_id = project_id or self.projects[0]
        account = {
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": "sandbox",
            "private_key": _signing_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": _client_email(project_id),
            "client_id": "1",
            "token_uri": token_uri or f"{self.url}/token",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(account))
        return path

    def _application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_post("/v1/projects/{project}/messages:send", self._send)
        return app

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self._count(TOKEN_ENDPOINT, request)
        if scripted := await self._scripted(TOKEN_ENDPOINT, request):
            return scripted
        try:
            public_key = _signing_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            assertion = str(form.get("assertion", ""))
            claims = google.auth.jwt.decode(assertion, public_key, audience=AUDIENCE)  # type: ignore[no-untyped-call]
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            return _json({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        project = {_client_email(name): name for name in self.projects}.get(claims["iss"])
        if form.get("grant_type") != GRANT or project is None or "firebase.messaging" not in claims.get("scope", ""):
            return _json({"error": "invalid_grant", "error_description": "Invalid grant: account not found"}, 400)
        token = f"ya29.sandbox-{next(self._numbers)}"
        self._access_tokens[token] = (project, time.time() + self.token_life_s)
        return _json({"access_token": token, "expires_in": self.token_life_s, "token_type": "Bearer"})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            device_token = str(body["message"]["token"])
        except (ValueError, KeyError, TypeError):
            body, device_token = None, ""
        self._count(device_token, request)
        if scripted := await self._scripted(device_token, request):
            return scripted
        interference = self.interfere(device_token) if self.interfere else None
        if interference and (answer := await interference.deliver(request, self._stopping)):
            return answer
        project = request.match_info["project"]
        refused = self._refused_access(request, project) or google_rules.refusal(body)
        if refused is not None:
            return _json(refused, refused["error"]["code"])
        if body.get("validate_only"):
            return _json({"name": f"projects/{project}/messages/fake_message_id"})
        name = f"projects/{project}/messages/0:{next(self._numbers)}"
        received = GoogleRequest(
            project, device_token, body["message"], dict(request.headers), Seconds(time.time()), name
        )
        if self.keep:
            self.received.append(received)
        if self.on_push is not None:
            self.on_push(received)
        await asyncio.sleep(self.answer_delay_s)
        return _json({"name": name})

    def _refused_access(self, request: web.Request, project: str) -> dict[str, Any] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        owner, expires_at = self._access_tokens.get(token, ("", 0.0))
        if expires_at < time.time():
            reason = "ACCESS_TOKEN_EXPIRED" if owner else "ACCESS_TOKEN_TYPE_UNSUPPORTED"
            text = "Request had invalid authentication credentials."
            return google_rules.error(401, "UNAUTHENTICATED", text, reason=reason)
        if owner != project:
            text = "Permission 'cloudmessaging.messages.create' denied on resource (or it may not exist)."
            return google_rules.error(403, "PERMISSION_DENIED", text, reason="IAM_PERMISSION_DENIED")
        return None

    def _count(self, target: str, request: web.Request) -> None:
        self.requests[target] += 1
        if request.transport is not None:
            self.clients.add(request.transport.get_extra_info("peername"))

    async def _scripted(self, target: str, request: web.Request) -> web.StreamResponse | None:
        script = self._scripts.get(target)
        return await script.pop(0).deliver(request, self._stopping) if script else None


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _client_email(project_id: str) -> str:
    return f"bellhop@{project_id}.iam.gserviceaccount.com"


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(answer, status=status)
