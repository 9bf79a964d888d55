"""A primary, two replicas and three Sentinels: real processes."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

import redis

from bellhop.sandbox.child_process import end_with_parent, free_port
from bellhop.sandbox.redis_server import RedisServer, server_binary
from tests.waiting import wait_for

SERVICE = "bellhop"
DOWN_AFTER_MS = 2000
"""Longer than a primary stands still because the machine is busy."""
LONGEST_FAILOVER_S = 30.0


class Sentinels:
    """Stands in for the one `RedisServer` of an installation: `url` leads to the primary."""

    def __init__(self, folder: Path, *options: str, login: str = "") -> None:
        self.folder, self.login = folder, login
        self.servers = [self._server(str(number), *options) for number in range(3)]
        first = self.servers[0].port
        for replica in self.servers[1:]:
            replica.options = ("--replicaof", "127.0.0.1", str(first), *options)
        self.ports = [free_port() for _ in range(3)]
        self.processes: list[subprocess.Popen[bytes]] = []

    def _server(self, name: str, *options: str) -> RedisServer:
        folder = self.folder / f"redis-{name}"
        folder.mkdir()
        return RedisServer(folder, "--repl-diskless-sync-delay", "0", *options)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{self.login}{hosts}/{SERVICE}/0"

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        for port in self.ports:
            file = self.folder / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self.folder}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 6000\nsentinel parallel-syncs {SERVICE} 2\n"
            )
            with file.with_suffix(".log").open("ab") as log:
                command = [server_binary(), str(file), "--sentinel"]
                process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent)  # noqa: PLW1509 - it makes one system call
                self.processes.append(process)
        self._wait(self._know_each_other)
        return self

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()
        for server in self.servers:
            server.stop()

    def kill_primary(self) -> RedisServer:
        """Kill it; returns the server that was it."""
        dead = self.primary()
        dead.stop(signal.SIGKILL)
        return dead

    def primary(self) -> RedisServer:
        """The server that the Sentinels name as the primary now."""
        port = self.primary_port()
        return next(server for server in self.servers if server.port == port)

    def primary_port(self) -> int:
        """The port of the server that the Sentinels name as the primary now."""
        return self._named_by(self.ports[0])

    def wait_for_another(self, dead: RedisServer) -> None:
        """Wait until all Sentinels name another primary: one that comes back before is taken for what it was."""
        self._wait(lambda: dead.port not in map(self._named_by, self.ports))

    def settle(self) -> None:
        """Wait until all Sentinels name one primary, and its replicas have all that it has."""
        self._wait(self._settled)

    def _named_by(self, port: int) -> int:
        with redis.Redis(port=port, decode_responses=True) as sentinel:
            return int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _settled(self) -> bool:
        first, *others = map(self._named_by, self.ports)
        with redis.Redis(port=first) as primary:
            return others == [first] * len(others) and primary.wait(2, 100) == 2

    def _know_each_other(self) -> bool:
        for port in self.ports:
            with redis.Redis(port=port, decode_responses=True) as sentinel:
                state = sentinel.sentinel_master(SERVICE)
            if int(state["num-other-sentinels"]) < 2 or int(state["num-slaves"]) < 2:
                return False
        return True

    def _wait(self, come_true: Callable[[], bool]) -> None:
        wait_for(come_true, LONGEST_FAILOVER_S, (redis.RedisError,), self.folder)
