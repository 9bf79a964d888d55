"""A TCP proxy in front of Redis that loses or delays the request or answer that a test names."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Loss:
    """Lose the next answer with `answer` in it to a request with `request` in it; without one, that request itself.

    With `late_s` it is not lost, but passed on after so many seconds, or when `pass_on` is set before.
    """

    request: bytes
    answer: bytes | None
    late_s: float = 0.0
    happened: threading.Event = field(default_factory=threading.Event)
    pass_on: threading.Event = field(default_factory=threading.Event)


class Proxy:
    def __init__(self, redis_port: int) -> None:
        self.redis_port = redis_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"
        self.losses: list[Loss] = []

    def lose_answer(self, request: bytes, answer: bytes) -> Loss:
        self.losses.append(Loss(request, answer))
        return self.losses[-1]

    def delay_answer(self, request: bytes, answer: bytes, seconds: float) -> Loss:
        self.losses.append(Loss(request, answer, seconds))
        return self.losses[-1]

    def lose_request(self, request: bytes) -> Loss:
        self.losses.append(Loss(request, None))
        return self.losses[-1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.redis_port))
        except OSError:
            client.close()
            return
        asked = bytearray()

        def requests() -> None:
            with contextlib.suppress(OSError):
                while data := client.recv(65536):
                    asked[:] = data
                    if self._is_lost(data, None):
                        break
                    server.sendall(data)
            close(client, server)

        threading.Thread(target=requests, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._is_lost(bytes(asked), data):
                    break
                client.sendall(data)
        close(client, server)

    def _is_lost(self, request: bytes, answer: bytes | None) -> bool:
        for loss in self.losses:
            if loss.happened.is_set() or loss.request not in request or (loss.answer is None) != (answer is None):
                continue
            if loss.answer is None or (answer is not None and loss.answer in answer):
                loss.pass_on.wait(loss.late_s)
                loss.happened.set()
                return not loss.late_s
        return False


def close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
