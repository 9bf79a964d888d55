"""A thread that adds this web process's counts to the sums in Redis, every second, and the process to a list.

It also reads who was forgotten.
"""

import atexit
import contextlib
import os
import threading
import time

from redis.exceptions import RedisError

from bellhop.telemetry.last_webhook import LAST_WEBHOOKS
from bellhop.telemetry.metrics import FLUSH_S, TALLY
from bellhop.telemetry.turned_away import TURNED_AWAY
from bellhop.telemetry.web_processes import OWN_ENTRY
from webhook.context import WebContext


def start(context: WebContext) -> None:
    """Start the thread in this process, and in every process that a server forks from it."""

    def run() -> None:
        with contextlib.suppress(RedisError):
            context.intake.forgotten.read(context.redis)
        while True:
            time.sleep(FLUSH_S)
            flush(context)

    def start_thread() -> None:
        threading.Thread(target=run, name="metrics", daemon=True).start()

    start_thread()
    os.register_at_fork(after_in_child=start_thread)
    atexit.register(flush, context)


def flush(context: WebContext) -> None:
    """Add the counts to Redis, and read who was forgotten. While Redis is away, the counts are kept."""
    with contextlib.suppress(RedisError):
        if command := TALLY.flush():
            context.run(command)
            TALLY.flushed()
        if command := TALLY.flush_last_hour():
            context.run(command)
        if command := TURNED_AWAY.flush():
            context.run(command)
        LAST_WEBHOOKS.flush(context.redis)
        OWN_ENTRY.write(context.redis)
        context.intake.forgotten.read(context.redis)
