"""Run `bellhop check` for the service page, in another process: it takes seconds, and this process answers webhooks."""

import contextlib
import subprocess
import sys
import threading

from redis import Redis
from redis.exceptions import RedisError

from bellhop.store.blocking_client import together
from bellhop.store.keys import CHECK_RUNS
from bellhop.store.redis_clock import read_time
from bellhop.telemetry.last_check import keep_check

LONGEST_S = 120
"""How long a check may run before it is stopped."""
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
    """Return whether a check runs that the console has started. Raises redis.exceptions.RedisError."""
    return bool(redis.exists(CHECK_RUNS))


def _wait(process: subprocess.Popen[str], redis: Redis) -> None:
    """Wait for the check's end. If it could not run, or took too long, write that in place of its findings."""
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
            together(redis, keep_check(read_time(redis.time()), [("problem", "Check", reason)]))
        redis.delete(CHECK_RUNS)
