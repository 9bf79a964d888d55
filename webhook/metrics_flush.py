"""Tells Redis every second what this web process has counted, from a thread of its own."""

import atexit
import contextlib
import os
import threading
import time

from redis.exceptions import RedisError

from bellhop.store.scripts import Command
from bellhop.telemetry.metrics import FLUSH_S, TALLY
from webhook.context import WebContext


def start(context: WebContext) -> None:
    """Start, in this process and in those that a server forks from it."""

    def run() -> None:
        while True:
            time.sleep(FLUSH_S)
            flush(context)

    def begin() -> None:
        threading.Thread(target=run, name="metrics", daemon=True).start()

    begin()
    os.register_at_fork(after_in_child=begin)
    atexit.register(flush, context)


def flush(context: WebContext) -> None:
    """Tell Redis what was counted; while it is away, keep it for the next time."""
    with contextlib.suppress(RedisError):
        if call := TALLY.flush():
            context.run(Command(*call))
            TALLY.flushed()
