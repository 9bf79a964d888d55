"""The serving processes. They are forked from this one, replaced if they die, and stopped by SIGTERM or SIGINT."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

import structlog

from bellhop import stop_signals
from bellhop.stop_signals import STOP_SIGNALS

log = structlog.get_logger()

RESTART_PAUSE_S = 0.5
"""Pause before a process that died is replaced."""


class Processes:
    """`count` processes that each run `target`. `on_stop` is called when a stop begins.

    A process that has not ended `kill_after_s` after the stop began is killed.
    """

    def __init__(self, count: int, target: Callable[[], None], on_stop: Callable[[], None], kill_after_s: int) -> None:
        self._count, self._target, self._on_stop, self._kill_after_s = count, target, on_stop, kill_after_s
        self._pids: set[int] = set()
        self._stopping = False

    def run(self) -> None:
        """Start the processes; return when a stop has ended all of them."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, lambda *_: self._signal_all(signal.SIGKILL))
        for _ in range(self._count):
            self._start()
        while self._pids:
            pid, status = os.wait()
            self._pids.discard(pid)
            if not self._stopping:
                if status:  # 0: it was stopped alone, or the stop of all has not reached this process yet
                    log.error("web_process_died", status=os.waitstatus_to_exitcode(status))
                time.sleep(RESTART_PAUSE_S)
                self._start()

    def _start(self) -> None:
        # If a stop began between the fork and the line after it, the new process would get no signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            if self._stopping:
                return
            pid = os.fork()
            if pid:
                self._pids.add(pid)
            else:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                stop_signals.end_with_0()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        if not pid:
            self._target()
            sys.exit()

    def _stop(self, *_: object) -> None:
        if not self._stopping:
            self._stopping = True
            signal.alarm(self._kill_after_s)
            self._on_stop()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)
