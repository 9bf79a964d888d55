"""`bellhop web`: the Flask application under granian."""

import errno
import socket

import click
import structlog
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from redis.exceptions import RedisError

from worker.settings import Settings
from worker.storage.redis_clients import blocking, shown
from worker.telemetry.outage import redis_outage

log = structlog.get_logger()

BACKLOG = 1024
LOOK_S = 1.0
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
        "bellhop.web_process:app",
        address=settings.web_host,
        port=settings.web_port,
        interface=Interfaces.WSGI,
        workers=settings.web_processes,
        # Granian's own default follows the backlog: dozens of threads that fight over the interpreter lock.
        blocking_threads=settings.web_threads,
        backlog=BACKLOG,
        log_level=LogLevels.error,  # its warnings are hints on thread counts
        respawn_failed_workers=True,
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
        "web started",
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
