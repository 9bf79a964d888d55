"""SIGTERM and SIGINT before and after the time in which a process handles them itself.

`bellhop web`, `worker` and `sqs` end with 0 at SIGTERM and SIGINT. Python's default for SIGTERM applies until a
handler is set, and again while the interpreter ends. It would end them with another status.
"""

import os
import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_with_0() -> None:
    """Let both signals end this process at once with 0, until it sets its own handlers. It has no work yet."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def ignore() -> None:
    """Ignore both signals, because this process ends now. Of all handlers, the interpreter keeps only this one."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
