"""`bellhop web`: the Flask application under granian, behind a front that reads bodies first (front.py)."""

import resource

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from worker.settings import Settings

BACKLOG = 1024
CONNECTIONS = 4096
"""Of each process. Others wait in the backlog, so those who only hold one must not reach it soon."""
LONGEST_HEADERS = 16_384
"""Bytes of a request's first line and headers, about; more is answered 431. Each connection may hold as much."""
HEADERS_WITHIN_MS = 30_000
"""Granian counts the time in which a connection waits for its next request as well, so a proxy must have let go of
an idle one by then (docs/proxies.md)."""


def serve(settings: Settings) -> None:
    """Serve until told to stop. Each process reads the settings again by itself (web_process.py)."""
    Granian(
        "bellhop.web_process:app",
        address=settings.web_host,
        port=settings.web_port,
        interface=Interfaces.ASGINL,
        workers=settings.web_processes,
        http=HTTPModes.http1,  # in HTTP/2 one connection may send two hundred requests at once, with large headers
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN_MS, max_buffer_size=LONGEST_HEADERS),
        websockets=False,
        backlog=BACKLOG,
        backpressure=min(CONNECTIONS, _files() // 2),
        log_level=LogLevels.error,  # its warnings are hints on thread counts
        respawn_failed_workers=True,
    ).serve()


def _files() -> int:
    """Ask for as many open files as the connections need, and tell how many there may be; 1024 is a common default."""
    allowed, most = (
        2 * CONNECTIONS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    files = min(2 * CONNECTIONS, most)
    if allowed < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return files
