"""A whole Bellhop on this machine: real Redis, web and worker, and stand-ins for Apple, Google, Stream and SMTP."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import aiohttp

from bellhop.clock import Seconds, from_nanoseconds
from bellhop.domain.device import Device, Environment, Kind, Provider, RingsBy
from bellhop.sandbox import apple_server, google_server
from bellhop.sandbox.apple_server import AppleStandIn
from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.sandbox.push_service import PushServiceStandIn, WebPushRequest
from bellhop.sandbox.redis_server import RedisServer
from bellhop.sandbox.smtp_server import SmtpStandIn
from bellhop.sandbox.stream_rest import StreamApiStandIn, call_type, hook
from bellhop.sandbox.stream_webhooks import StreamStandIn
from bellhop.sandbox.tls import Authority
from bellhop.settings import PREFIX
from bellhop.store.async_client import Store
from bellhop.store.registry import register
from bellhop.store.steps import run_steps
from bellhop.vapid_keys import new_key_pair

API_KEY, SECRET = "demo-api-key", "demo-secret-of-no-real-app-at-all"
BUNDLE, PROJECT, WEB_APP = "com.example.calls", "example-calls", "app.example.com"
START_TIMEOUT_S = 60


class Arrival(NamedTuple):
    """A push that a provider's stand-in accepted: the real provider would deliver it to the phone."""

    provider: Provider
    token: str
    type: str
    """As the SDK on the phone reads it: call.ring, call.notification or call.missed."""
    cid: str
    at: Seconds
    """Unix time in seconds."""
    payload: Mapping[str, Any]

    @property
    def ticket(self) -> str:
        """The ticket in the push; empty if it has none."""
        ticket: str = self.payload.get("bellhop", self.payload).get("receipt", "")
        return ticket


class Installation:
    """Starts everything on free ports (`async with`), and stops it at the end.

    `settings` are BELLHOP_* variables for the processes, without the prefix.
    """

    new_redis: ClassVar[Callable[[Path], RedisServer]] = RedisServer
    """Makes the Redis, in a folder. The tests can set it to something else that starts, stops and has a URL."""
    python = sys.executable
    """Runs the processes. A benchmark of two versions sets it to the other version's."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        workers: int = 1,
        on_arrival: Callable[[Arrival], None] | None = None,
        *,
        web_push: bool = False,
    ) -> None:
        """With `web_push`, there is a web app and a push service for browsers too."""
        self.folder, self.settings, self.workers, self.on_arrival = folder, dict(settings or {}), workers, on_arrival
        self.arrivals: list[Arrival] = []
        self.redis = type(self).new_redis(folder)
        self.authority = authority = Authority(folder)
        self.apple = AppleStandIn(authority, on_push=self._from_apple)
        self.google = GoogleStandIn(folder, PROJECT, authority=authority, on_push=self._from_google)
        self.push_service = PushServiceStandIn(authority, on_push=self._from_push_service) if web_push else None
        self.web_push_keys = new_key_pair()
        self.mail = SmtpStandIn(port=free_port())
        self.stream_api = StreamApiStandIn(API_KEY, SECRET)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.stream_api.call_types = {"default": call_type()}
        self.stream_api.app["event_hooks"] = [hook(f"{self.url}/webhooks/stream")]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        self.redis.start()
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self.stream = StreamStandIn(self.url, API_KEY, SECRET, self.http)
        self.store = Store.from_url(self.redis.url)
        try:
            await self.apple.start()
            await self.google.start()
            if self.push_service is not None:
                await self.push_service.start()
            await self.mail.start()
            await self.stream_api.start()
            self.start("web")
            for number in range(self.workers):
                self.start("worker", f"worker-{number + 1}")
            await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.processes):
            await asyncio.to_thread(self.stop, name)
        await self.store.close()
        await self.apple.stop()
        await self.google.stop()
        if self.push_service is not None:
            await self.push_service.stop()
        await self.mail.stop()
        await self.stream_api.stop()
        self.redis.stop()
        await self.http.close()

    def _from_apple(self, push: apple_server.AppleRequest) -> None:
        if stream := push.payload.get("stream"):  # `bellhop check` sends a push without it
            self.arrive(Arrival(Provider.APNS, push.token, stream["type"], stream["call_cid"], push.at, push.payload))

    def _from_google(self, push: google_server.GoogleRequest) -> None:
        data = push.message["data"]
        self.arrive(Arrival(Provider.FCM, push.token, data["type"], data["call_cid"], push.received_at, data))

    def _from_push_service(self, push: WebPushRequest) -> None:
        data = push.data
        self.arrive(Arrival(Provider.WEB_PUSH, push.endpoint, data["type"], data["call_cid"], push.received_at, data))

    def arrive(self, arrival: Arrival) -> None:
        """Keep a push that has arrived."""
        self.arrivals.append(arrival)
        if self.on_arrival is not None:
            self.on_arrival(arrival)

    def start(self, command: str, name: str = "") -> None:
        """Start `bellhop <command>`. Its log lines go to <name>.log in the folder."""
        name = name or command
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [self.python, "-m", "bellhop", command],
                env=self.environment(),
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes only one system call
            )

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop a process, and return its exit status."""
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            return process.wait(timeout=START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    async def ready(self) -> None:
        """Wait until /readyz answers 200. Raises RuntimeError with the last log lines if it takes too long."""
        give_up = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with status {process.returncode}:\n{self.log(name)[-2000:]}")
            try:
                async with self.http.get(f"{self.url}/readyz") as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):  # it listens before it can answer
                pass
            await asyncio.sleep(0.05)
        raise RuntimeError("not ready:\n" + "\n".join(f"{name}: {self.log(name)[-2000:]}" for name in self.processes))

    def log(self, name: str) -> str:
        """Return the log of a process so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def register(
        self,
        user_id: str,
        provider: Provider,
        kind: Kind,
        token: str,
        name: str = "",
        hardware_id: str = "",
        rings: RingsBy = RingsBy.VOIP,
        *,
        tenant: str = "default",
    ) -> Device:
        """Register a device of a user."""
        app = BUNDLE if provider is Provider.APNS else PROJECT
        device = Device(
            user_id=user_id,
            provider=provider,
            kind=kind,
            token=token,
            app=app,
            environment=Environment.PRODUCTION,
            registered_at=from_nanoseconds(time.time_ns()),
            name=name,
            hardware_id=hardware_id,
            rings=rings,
        )
        await run_steps(register(tenant, device), self.store)
        return device

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes: this one's without BELLHOP_* variables, and our settings."""
        key_file = self.folder / "apns-key.p8"
        if not key_file.exists():
            key_file.write_text(apple_server.new_signing_key()[0])
        account = self.google.write_service_account(self.folder / "service-account.json")
        ours = {
            "REDIS_URL": self.redis.url,
            "STREAM_API_KEY": API_KEY,
            "STREAM_API_SECRET": SECRET,
            "STREAM_API_URL": self.stream_api.url,
            "APNS_KEY_FILE": str(key_file),
            "APNS_KEY_ID": "ABC123DEFG",
            "APNS_TEAM_ID": "DEF123GHIJ",
            "APNS_TOPIC": BUNDLE,
            "APNS_URL": self.apple.url,
            "APNS_SANDBOX_URL": self.apple.url,
            "APNS_CA_FILE": str(self.apple.ca_file),
            "FCM_SERVICE_ACCOUNT_FILE": str(account),
            "FCM_URL": self.google.url,
            "FCM_CA_FILE": str(self.google.ca_file),
            "WEB_PORT": str(self.port),
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.mail.port),
            "SMTP_SECURITY": "none",
            "MAIL_FROM": "calls@example.com",
            "MAIL_FROM_NAME": "Example Calls",
            "MAIL_SECRET": "a-secret-of-no-real-app",
            "PUBLIC_URL": self.url,
            **self._web_push_settings(),
            **self.settings,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return inherited | {PREFIX + name: value for name, value in ours.items()}

    def _web_push_settings(self) -> dict[str, str]:
        """Return the settings of the web app; none without a push service."""
        if self.push_service is None:
            return {}
        return {
            "WEB_PUSH_APP": WEB_APP,
            "WEB_PUSH_PUBLIC_KEY": self.web_push_keys.public,
            "WEB_PUSH_PRIVATE_KEY": self.web_push_keys.private,
            "WEB_PUSH_SUBJECT": "mailto:ops@example.com",
            "WEB_PUSH_HOSTS": self.push_service.host,
            "WEB_PUSH_ALLOWED_NETWORKS": "127.0.0.1,::1",
            "WEB_PUSH_CA_FILE": str(self.push_service.ca_file),
        }
