"""`bellhop web`: the Flask application under granian, behind a front that reads bodies first (asgi_front.py)."""

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

from bellhop import stop_signals
from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking
from bellhop.store.redis_url import shown
from bellhop.store.refusals import is_cluster, try_to_write
from bellhop.telemetry.outage import redis_outage

log = structlog.get_logger()

BACKLOG = 1024
CONNECTIONS = 4096
"""Open connections of each process; others wait in the backlog. High, because idle clients hold connections too."""
MAX_HEADER_BYTES = 16_384
"""Approximate limit of a request's first line and headers; more is answered 431. Each connection may use as much."""
HEADER_TIMEOUT_MS = 30_000
"""granian also counts the time that an idle connection waits for its next request. So a proxy must close idle
connections before that (docs/proxies.md)."""
STOP_TIMEOUT_S = 10
"""How long a stopping process may take for its open requests; every request is shorter. Without a limit, a connection
that comes at that moment can keep granian running for half a minute."""
REDIS_TIMEOUT_S = Seconds(1.0)
"""How long Redis may take to answer at the start."""
ADVICE = {
    errno.EADDRINUSE: "is in use: stop what listens there, or set BELLHOP_WEB_PORT",
    errno.EADDRNOTAVAIL: "is not an address of this machine: set BELLHOP_WEB_HOST to one, or to 0.0.0.0 for all",
    errno.EACCES: "cannot be used: permission denied. Set BELLHOP_WEB_PORT to 1024 or more, behind a proxy",
}


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Each serving process loads the settings itself (serving_process.py).

    Raises click.ClickException if the address cannot be used, and RedisError if Redis is a cluster node.
    """
    _check_address(settings.web_host, settings.web_port)
    redis_error = _redis_error(settings)
    server = Granian(
        "webhook.server.serving_process:app",
        address=settings.web_host,
        port=settings.web_port,
        interface=Interfaces.ASGINL,
        workers=settings.web_processes,
        http=HTTPModes.http1,  # not HTTP/2, where one connection may send 200 requests at once, with large headers
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=MAX_HEADER_BYTES),
        websockets=False,
        backlog=BACKLOG,
        backpressure=min(CONNECTIONS, _raise_file_limit() // 2),
        log_level=LogLevels.error,  # its warnings are about thread counts
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT_S,
    )
    server.on_startup(lambda: _report_start(settings, redis_error))
    try:
        server.serve()
    except SystemExit:
        # granian's status when a serving process ends first. systemd stops all processes at once, so this is no fault.
        if not server.interrupt_signal:
            raise
    stop_signals.ignore()


def _check_address(host: str, port: int) -> None:
    """Report an unusable address in a sentence: granian, which uses the same options, would end with a traceback."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = ADVICE.get(error.errno or 0, f"cannot be used: {error.strerror}")
            raise click.ClickException(f"{_url(host, port)} {advice}") from None


def _redis_error(settings: Settings) -> RedisError | None:
    """Return why Redis takes no writes now. Raises the error if it never will."""
    try:
        with blocking(settings.redis_url, timeout_s=REDIS_TIMEOUT_S) as redis:
            try_to_write(redis)
    except RedisError as error:
        if is_cluster(error):
            raise
        return error
    return None


def _report_start(settings: Settings, redis_error: RedisError | None) -> None:
    log.info(
        "web_started",
        address=_url(settings.web_host, settings.web_port),
        processes=settings.web_processes,
        tenants=[app.tenant for app in settings.stream_apps],
        console="/console" if settings.console else "off",
    )
    if redis_error is not None:
        redis_outage(shown(settings.redis_url)).note_redis_error(redis_error)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> int:
    """Raise the limit of open files to what the connections need, if allowed; returns the limit. 1024 is common."""
    soft, hard = (
        2 * CONNECTIONS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = min(2 * CONNECTIONS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
