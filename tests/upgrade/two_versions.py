"""Runs the processes of any checkout of Bellhop against one Redis and one set of stand-ins.

Only this module imports the sandbox of this checkout. The processes are started as an operator starts them.
"""

import asyncio
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import aiohttp
import jwt
import redis

from bellhop.sandbox import apple_script, google_script
from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.installation import API_KEY, BUNDLE, PROJECT, SECRET, Installation
from bellhop.sandbox.smtp_server import Fault
from bellhop.sandbox.stream_webhooks import SampleCall, StreamStandIn

__all__ = ["BUNDLE", "NEW", "PROJECT", "PYTHONS", "SampleCall", "VersionedInstallation", "run_python", "server_token"]

NEW = Path(__file__).parents[2]
"""This checkout."""
PYTHONS = {}
"""By the checkout, the Python that runs it; by default the one that runs this."""
SOON_S = 60
"""Much longer than any step takes."""
METRICS_TOKEN = "for-prometheus-alone"
SETTINGS = {
    "MISSED_GRACE_S": "0.5",
    "CONSOLE_PROXY_HEADER": "X-Forwarded-User",
    "METRICS_TOKEN": METRICS_TOKEN,
    "RECEIPT_SECRET": "signs-the-receipts",
    "MAIL_SECRET": "a-secret-of-no-real-app",
    "MAIL_WINDOW_S": "1",
    "STREAM_FETCHES_PER_S": "50",
}
"""Settings of every process that writes or reads the states."""
FAILS_EMAILS = """
import sys
from bellhop.telemetry import logs
from worker.queue.queue_worker import QueueWorker

logs.configure("json", "info")
QueueWorker(sys.argv[1], {"bellhop-mail": 1}, {}).work()
"""


def server_token():
    """A Stream server token: it may ask for every user and every call."""
    with warnings.catch_warnings(action="ignore"):  # the demo's secret is short
        return jwt.encode({"server": True}, SECRET, algorithm="HS256")


def run_python(root, *args, env=None, stdin=None):
    """Run Python with the code of a checkout; returns what it printed. Raises when it fails."""
    done = subprocess.run(
        [PYTHONS.get(root, sys.executable), *args],
        cwd=root,
        env=(env or dict(os.environ)) | {"PYTHONPATH": str(root)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
    )
    assert done.returncode == 0, f"{args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class VersionedInstallation(Installation):
    """One Redis, the stand-ins, and a web process of the checkout at `root`. Workers are started by `start`."""

    def __init__(self, folder, root, settings=None):
        super().__init__(folder, SETTINGS | (settings or {}), workers=0)
        self.root = root

    def start(self, command, name="", root=None, **settings):
        """Start `bellhop <command>` of a checkout, with settings (without their prefix) of its own."""
        self._run(["-m", "bellhop", command], name or command, root or self.root, settings)

    def start_worker_that_knows_no_emails(self, name):
        """Start a worker that takes e-mail jobs and fails them. In the older version, one without a mail server did."""
        if self.root == NEW:
            self._run(["-c", FAILS_EMAILS, self.redis.url], name, self.root, {})
        else:
            self.start("worker", name, SMTP_HOST="")

    def _run(self, args, name, root, settings):
        own = {f"BELLHOP_{setting}": value for setting, value in settings.items()}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [PYTHONS.get(root, sys.executable), *args],
                cwd=root,
                env=self.environment() | {"PYTHONPATH": str(root)} | own,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - it makes one system call
            )

    async def ready(self):
        """Wait until the web process answers."""
        self.redis_client = redis.Redis.from_url(self.redis.url, decode_responses=True)
        await self.answers(self.url)

    async def answers(self, url):
        async def healthy():
            try:
                async with self.http.get(f"{url}/healthz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await self.until(healthy, "the web process answers")

    async def second_web(self, name, root):
        """Start a web process of another checkout beside the first; returns what posts webhooks to it."""
        port = free_port()
        self.start("web", name, root, WEB_PORT=str(port))
        url = f"http://127.0.0.1:{port}"
        await self.answers(url)
        return StreamStandIn(url, API_KEY, SECRET, self.http)

    async def until(self, look, what):
        """Wait until `look()` is true; it may be a coroutine function."""
        give_up = time.monotonic() + SOON_S
        while True:
            seen = look()
            if asyncio.iscoroutine(seen):
                seen = await seen
            if seen:
                return seen
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            assert time.monotonic() < give_up, f"never: {what}\n" + "\n".join(
                f"{name}: {self.log(name)[-3000:]}" for name in self.processes
            )
            await asyncio.sleep(0.05)

    async def end(self, name, how=None):
        """Stop a process without blocking the stand-ins."""
        return await asyncio.to_thread(self.stop, name, *([how] if how else []))

    async def ask(self, method, path, body=None, headers=None, token=True, form=None):
        """Send one request to the web process; returns the status, and the JSON or text of the answer."""
        given = dict(headers or {})
        if token:
            given.setdefault("Authorization", f"Bearer {server_token()}")
        async with self.http.request(
            method, self.url + path, json=body, data=form, headers=given, allow_redirects=False
        ) as answer:
            text = await answer.text()
            return answer.status, await answer.json() if "json" in answer.content_type else text

    async def explained(self, cid):
        """What GET /v1/calls/<cid> says."""
        return (await self.ask("GET", f"/v1/calls/{cid}"))[1]

    async def metrics_page(self):
        return (await self.ask("GET", "/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}))[1]

    async def console(self, path):
        """A page of the console, as somebody whom the proxy has logged in."""
        return await self.ask("GET", f"/console{path}", headers={"X-Forwarded-User": "support"}, token=False)

    def command(self, *args):
        """Run `bellhop <args>`; returns what it printed."""
        return run_python(self.root, "-m", "bellhop", *args, env=self.environment())

    # What the stand-ins do instead of accepting.

    def apple_refuses(self, token, status, reason, timestamp_ms=None):
        self.apple.script(token, apple_script.AppleReply(status, reason, timestamp_ms=timestamp_ms))

    def apple_is_silent(self, token):
        self.apple.script(token, apple_script.Silence())

    def google_is_unavailable(self, token):
        self.google.script(token, google_script.fcm_error(503, "UNAVAILABLE"))

    def mail_server_is_silent(self):
        self.mail.script(Fault.SILENCE, stage="MAIL")

    def rung(self):
        """Every push that was accepted, in order: call, kind, token."""
        return [(arrival.cid, arrival.type, arrival.token) for arrival in self.arrivals]

    def mails(self):
        """Every e-mail that was accepted: recipient, subject."""
        return [(mail.recipients[0], str(mail.message["Subject"])) for mail in self.mail.received]
