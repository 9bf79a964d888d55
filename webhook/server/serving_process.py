"""One serving process of `bellhop web`: it loads the application and serves it from an event loop.

A serving process ends when its parent ends. Otherwise it would continue to answer on the port, with old settings and
code.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import replace
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from bellhop import stop_signals
from bellhop.clock import Seconds
from bellhop.event_loop import collect_garbage_rarely, loop_factory
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.redis_url import shown
from bellhop.telemetry.background_writer import BackgroundWriter
from webhook.context import MAX_REQUEST, REDIS_TIMEOUT_S, WebContext
from webhook.intake_redis import IntakeRedis, LoopConnections
from webhook.server.arrivals import RequestLimits
from webhook.server.http_request import HttpRequest
from webhook.server.live_bounds import LiveBounds
from webhook.server.live_streams import LiveStreams
from webhook.server.request_server import RequestServer
from webhook.server.webhook_bodies import TARGET, WebhookBodies

BACKLOG = 1024
LIMITS = RequestLimits(
    head_bytes=16_384,
    head_s=Seconds(30.0),
    body_bytes=MAX_REQUEST + 1,  # one byte more than is accepted (webhook/app.py)
    body_s=Seconds(5.0),  # Stream gives up on an attempt after six
    arriving=1024,
    total_bytes=64 * 1024 * 1024,
    connections=4096,  # high, because idle clients hold connections too
)
CHECK_PARENT_S = 0.5
"""How often a process checks whether its parent still runs."""
CONNECTIONS_PER_STREAM = 4
"""A process keeps at most one live stream for every 4 connections of its limit, in addition to them."""
ON_LOOP = (TARGET, b"/v1/receipts")
"""Where webhooks and receipts are posted. Their views wait for Redis alone."""
MAX_LOOP_BODY = 65_536
"""A thread reads larger bodies: they take long enough to delay other webhooks."""
BODIES_AT_ONCE = 4
"""How many webhooks of the largest size fit into memory, at least."""


def run(listener: socket.socket, connections: int, parent_pid: int) -> None:
    """Serve the connections of `listener`, at most `connections` at the same time, until SIGTERM."""
    sys.stderr = BackgroundWriter(sys.stderr)  # before the loggers are made
    from webhook.wsgi import app  # noqa: PLC0415 - it is made when imported

    collect_garbage_rarely()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        limits = replace(LIMITS, connections=connections)
        runner.run(_serve(app, app.extensions["context"], limits, listener, parent_pid))


async def _serve(
    app: Any, context: WebContext, limits: RequestLimits, listener: socket.socket, parent_pid: int
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in stop_signals.STOP_SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    connections = LoopConnections(context.new_store)
    if not context.settings.redis_wait_replicas:  # WAIT would block the connection that all views share
        context.intake_redis.use_on_the_loop(connections)
    to_former = LoopConnections(context.former.new_store) if context.former else None
    if context.former and to_former:
        context.former.intake_redis.use_on_the_loop(to_former)
    with contextlib.suppress(RedisError):
        await connections.prompt().load_scripts()
    on_loop = partial(runs_on_loop, context.intake_redis)
    limits = limits_for_webhooks(limits, context.body_limits.max_bytes)
    streams = live_streams(context.settings, limits) if context.settings.live else None
    server = RequestServer(app, limits, context.settings.web_threads, on_loop, WebhookBodies(context), streams)
    keeping_time = asyncio.ensure_future(server.keep_time())
    accepting = await loop.create_server(server.connection, sock=listener, backlog=BACKLOG)
    await _told_to_stop(stop, parent_pid)
    clients = _waiting_clients(listener)
    await asyncio.sleep(0)  # asyncio drops what it has accepted in this turn if the server is closed in it
    clients += _waiting_clients(listener)
    accepting.close()
    for client in clients:
        await loop.connect_accepted_socket(server.connection, client)
    await server.stop()
    keeping_time.cancel()
    await connections.close()
    if to_former:
        await to_former.close()
    stop_signals.ignore()  # before the loop ends, as the handlers above need it


def live_streams(settings: Settings, limits: RequestLimits) -> LiveStreams:
    """Make the object that keeps the live streams of this process open."""
    bounds = LiveBounds(
        min(settings.live_streams, limits.connections // CONNECTIONS_PER_STREAM),
        settings.live_streams_per_call,
        settings.live_streams_per_user,
        settings.live_stream_s,
    )
    store = Store.from_url(settings.redis_url, timeout_s=REDIS_TIMEOUT_S)
    return LiveStreams(store, bounds, shown(settings.redis_url))


def limits_for_webhooks(limits: RequestLimits, max_bytes: int) -> RequestLimits:
    """Return the limits with those for webhooks of up to `max_bytes`, and one byte more to notice larger ones."""
    total_bytes = max(limits.total_bytes, BODIES_AT_ONCE * max_bytes)
    return replace(limits, webhook_bytes=max_bytes + 1, total_bytes=total_bytes)


def runs_on_loop(redis: IntakeRedis, request: HttpRequest) -> bool:
    """Return whether the view of a request runs on the event loop: a webhook's or a receipt's, unless it would block.

    A gzip body has been inflated by then, and counts with its inflated size.
    """
    if not redis.works_on_the_loop or request.target not in ON_LOOP or request.method != "POST":
        return False
    return request.size <= MAX_LOOP_BODY and not request.cut


def _waiting_clients(listener: socket.socket) -> list[socket.socket]:
    """Accept the connections that wait. Otherwise they are reset when the last process closes the listener."""
    clients: list[socket.socket] = []
    with contextlib.suppress(OSError):  # none is left, or the limit of open files is reached
        while len(clients) < BACKLOG:
            clients.append(listener.accept()[0])
    return clients


async def _told_to_stop(stop: asyncio.Event, parent_pid: int) -> None:
    """Wait for a signal, or until the parent has ended."""
    while not stop.is_set() and os.getppid() == parent_pid:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_PARENT_S):
                await stop.wait()
