"""A text stream that a thread writes out, so that code that logs never waits for a slow reader of the log."""

import atexit
import os
import threading
import time
from typing import TextIO

import structlog

log = structlog.get_logger()

GATHER_S = 0.1
"""How long lines are gathered before they are written together. Each write wakes the thread, which delays webhooks."""
MOST_CHARACTERS = 8_000_000
"""If more characters than this wait because nobody reads the log, further lines are dropped. A line says how many."""
LAST_WRITE_S = 1.0
"""How long the last write may take when the process ends."""


class BackgroundWriter:
    """Replaces sys.stderr. `write` returns at once; lines are written in order, a moment later."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._waiting = self._dropped = 0
        self._rest = memoryview(b"")
        """What is being written."""
        self._lock, self._wake, self._ended = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def write(self, text: str) -> int:
        """Queue a text."""
        with self._lock:
            if self._waiting > MOST_CHARACTERS:
                self._dropped += 1
                return len(text)
            self._lines.append(text)
            self._waiting += len(text)
        if not self._wake.is_set():
            self._wake.set()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes."""

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait()
            time.sleep(0 if self._ended else GATHER_S)
            self._wake.clear()
            self._write_out()
        self._write_out()

    def _write_out(self) -> None:
        """Write all that waits. If that fails, nothing is lost: the next line tries again."""
        try:
            while self._rest or self._take():
                self._rest = self._rest[os.write(self._stream.fileno(), self._rest) :]
        except OSError:
            return
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("log_lines_dropped", lines=dropped)

    def _take(self) -> bool:
        """Take the lines that wait. False if there are none."""
        with self._lock:
            lines, self._lines, self._waiting = self._lines, [], 0
        self._rest = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
        return bool(lines)

    def _end(self) -> None:
        self._ended = True
        self._wake.set()
        self._thread.join(LAST_WRITE_S)
