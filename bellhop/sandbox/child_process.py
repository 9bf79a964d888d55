"""Helpers for child processes: a free port, and an end together with the parent."""

import atexit
import ctypes
import random
import signal
import socket
import sys
from collections import deque
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PORTS = range(20_000, 32_768)
"""Systems give higher ports to outgoing connections, and such a connection could take the port before the server."""
MOST_RESERVED = 100
reserved: deque[socket.socket] = deque()
"""Sockets on the UDP ports with the same numbers. While they are open, free_port skips them in other processes too."""


def free_port() -> int:
    """Find a TCP port on 127.0.0.1 that is not in use, and reserve it. Raises OSError if a hundred are in use."""
    for port in random.SystemRandom().sample(PORTS, 100):
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe, suppress(OSError):
            reservation.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
            if len(reserved) == MOST_RESERVED:
                reserved.popleft().close()
            reserved.append(reservation)
            return port
        reservation.close()
    raise OSError(f"no free port on 127.0.0.1 from {PORTS.start} to {PORTS.stop - 1}")


@atexit.register
def _end_reservations() -> None:
    while reserved:
        reserved.popleft().close()


def end_with_parent() -> None:
    """On Linux, end this process when its parent dies (for `preexec_fn`). Elsewhere the parent must end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
