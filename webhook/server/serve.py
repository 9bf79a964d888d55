"""`bellhop web`: check the address, then run the serving processes (serving_process.py)."""

import errno
import os
import resource
import socket
from functools import partial

import click
import structlog
from redis.exceptions import RedisError

from bellhop import stop_signals
from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking
from bellhop.store.redis_url import shown, shown_database
from bellhop.store.refusals import needs_other_settings, try_to_write
from bellhop.telemetry.outage import redis_outage
from webhook.server import serving_process
from webhook.server.processes import Processes
from webhook.server.request_server import STOP_TIMEOUT_S
from webhook.server.serving_process import LIMITS

log = structlog.get_logger()

START_TIMEOUT_S = Seconds(1.0)
"""How long Redis may take to answer at the start."""
KILL_AFTER_S = int(STOP_TIMEOUT_S) + 5
"""How long a serving process may take to stop."""
ADVICE = {
    errno.EADDRINUSE: "is in use: stop what listens there, or set BELLHOP_WEB_PORT",
    errno.EADDRNOTAVAIL: "is not an address of this machine: set BELLHOP_WEB_HOST to one, or to 0.0.0.0 for all",
    errno.EACCES: "cannot be used: permission denied. Set BELLHOP_WEB_PORT to 1024 or more, behind a proxy",
}


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Each serving process loads the settings itself.

    Raises click.ClickException if the address cannot be used, and RedisError if the settings do not fit this Redis.
    """
    connections = min(LIMITS.connections, _raise_file_limit() // 2)
    parent_pid = os.getpid()
    with _bind(settings.web_host, settings.web_port) as listener:
        _report_start(settings, _url(*listener.getsockname()[:2]), _redis_error(settings))
        serving = partial(serving_process.run, listener, connections, parent_pid)
        Processes(settings.web_processes, serving, listener.close, KILL_AFTER_S).run()
    stop_signals.ignore()


def _bind(host: str, port: int) -> socket.socket:
    """Take the address, for all serving processes. Reports an unusable one in a sentence.

    It does not listen yet: a serving process does that when it is ready. Until then another `bellhop web` may serve the
    same address, and no connection waits for this one.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        advice = ADVICE.get(error.errno or 0, f"cannot be used: {error.strerror}")
        raise click.ClickException(f"{_url(host, port)} {advice}") from None
    return listener


def _redis_error(settings: Settings) -> RedisError | None:
    """Return why Redis takes no writes now. Raises the error if it never will."""
    try:
        with blocking(settings.redis_url, timeout_s=START_TIMEOUT_S) as redis:
            try_to_write(redis)
    except RedisError as error:
        if needs_other_settings(error):
            raise
        return error
    return None


def _report_start(settings: Settings, address: str, redis_error: RedisError | None) -> None:
    log.info(
        "web_started",
        address=address,
        processes=settings.web_processes,
        tenants=[app.tenant for app in settings.stream_apps],
        console="/console" if settings.console else "off",
        redis=shown_database(settings.redis_url),
    )
    if redis_error is not None:
        redis_outage(shown(settings.redis_url)).note_redis_error(redis_error)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> int:
    """Raise the limit of open files to what the connections need, if allowed; returns the limit. 1024 is common."""
    soft, hard = (
        2 * LIMITS.connections if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = min(2 * LIMITS.connections, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
