"""Runs `bellhop check` for the service page, in a process of its own: it takes seconds, and this one takes webhooks."""

import contextlib
import subprocess
import sys
import threading
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Micros
from bellhop.store.keys import CHECK_RUNS, LAST_CHECK
from bellhop.store.redis_clock import read_time
from bellhop.telemetry.last_check import KEPT_S, as_stored

LONGEST_S = 120
COMMAND = ("-m", "bellhop", "check", "--json")


def start_check(redis: Redis) -> bool:
    """Start a check with this process's settings, unless one runs. Raises redis.exceptions.RedisError."""
    if not redis.set(CHECK_RUNS, 1, nx=True, ex=LONGEST_S):
        return False
    process = subprocess.Popen(
        [sys.executable, *COMMAND],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    threading.Thread(target=_wait, args=(process, redis), name="check", daemon=True).start()
    return True


def is_running(redis: Redis) -> bool:
    """Whether a check that the console has started runs. Raises redis.exceptions.RedisError."""
    return bool(redis.exists(CHECK_RUNS))


def _wait(process: subprocess.Popen[str], redis: Redis) -> None:
    """Wait for the check's end. If it could not begin, or took too long, that is what it found."""
    reason = ""
    try:
        findings, said = process.communicate(timeout=LONGEST_S)
        if not findings:
            lines = said.strip().splitlines() or [f"status {process.returncode}"]
            reason = f"it could not run: {lines[-1]}"
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        reason = f"it took longer than {LONGEST_S} s: run `bellhop check` yourself"
    with contextlib.suppress(RedisError):
        if reason:
            redis.set(LAST_CHECK, as_stored(_now(redis), [("problem", "Check", reason)]), ex=KEPT_S)
        redis.delete(CHECK_RUNS)


def _now(redis: Redis) -> Micros:
    answer: Any = redis.time()
    return read_time(answer)
