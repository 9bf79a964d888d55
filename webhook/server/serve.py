"""`bellhop web`: the Flask application under granian, behind a front that reads bodies first (front.py)."""

import errno
import resource
import socket

import click
import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking
from bellhop.store.redis_url import shown
from bellhop.telemetry.outage import redis_outage

log = structlog.get_logger()

BACKLOG = 1024
CONNECTIONS = 4096
"""Of each process. Others wait in the backlog, so those who only hold one must not reach it soon."""
LONGEST_HEADERS = 16_384
"""Bytes of a request's first line and headers, about; more is answered 431. Each connection may hold as much."""
HEADERS_WITHIN_MS = 30_000
"""Granian counts the time in which a connection waits for its next request as well, so a proxy must have let go of
an idle one by then (docs/proxies.md)."""
END_WITHIN_S = 10
"""What a process that is told to stop may take for the requests it has. Longer than any of them; some connections that
come at that very moment keep granian for half a minute."""
LOOK_S = Seconds(1.0)
"""How long Redis may take to answer at the start."""
ADVICE = {
    errno.EADDRINUSE: "is in use: stop what listens there, or set BELLHOP_WEB_PORT",
    errno.EADDRNOTAVAIL: "is no address of this machine: set BELLHOP_WEB_HOST to one, or to 0.0.0.0 for all of them",
    errno.EACCES: "is not for this user: set BELLHOP_WEB_PORT to 1024 or more, and let a proxy have the lower port",
}


def serve(settings: Settings) -> None:
    """Serve until told to stop. Each process reads the settings again by itself (web_process.py).

    Raises click.ClickException when nothing can listen at the address.
    """
    _try_to_listen(settings.web_host, settings.web_port)
    server = Granian(
        "webhook.server.serving_process:app",
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
        workers_kill_timeout=END_WITHIN_S,
    )
    server.on_startup(lambda: _tell(settings))
    server.serve()


def _try_to_listen(host: str, port: int) -> None:
    """Find out what granian would end in a traceback for. It listens with these options too."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = ADVICE.get(error.errno or 0, f"cannot be listened at: {error.strerror}")
            raise click.ClickException(f"{_url(host, port)} {advice}") from None


def _tell(settings: Settings) -> None:
    log.info(
        "web_started",
        address=_url(settings.web_host, settings.web_port),
        processes=settings.web_processes,
        tenants=[app.tenant for app in settings.stream_apps],
        console="/console" if settings.console else "off",
    )
    try:
        with blocking(settings.redis_url, timeout_s=LOOK_S) as redis:
            redis.ping()
    except RedisError as error:
        redis_outage(shown(settings.redis_url)).goes_on(type(error).__name__)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
