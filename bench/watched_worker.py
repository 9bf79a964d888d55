"""A worker that tells which callbacks of its event loop took longest: python -m bench.watched_worker FILE

The loop is asyncio's own, since uvloop's callbacks cannot be watched. A callback's time is the processor time of its
thread, so that a busy machine does not count. SIGUSR1 forgets what was seen; the file is written at the end.
"""

import asyncio
import heapq
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.installation import Installation

KEPT = 5
STARTS_S = 3.0


class WatchedWorker:
    """Runs it beside an installation, if it is switched on."""

    def __init__(self, here: Installation, *, on: bool) -> None:
        self._here, self._on = here, on
        self._file = here.folder / "callbacks.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.longest: list[str] = []

    def __enter__(self) -> Self:
        if self._on:
            command = [sys.executable, "-m", "bench.watched_worker", str(self._file)]
            self._process = subprocess.Popen(
                command,
                env=self._here.environment(),
                preexec_fn=end_with_parent,  # noqa: PLW1509
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(STARTS_S)
        return self

    def forget(self) -> None:
        """Forget the callbacks so far."""
        if self._process:
            self._process.send_signal(signal.SIGUSR1)

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self.longest = self._file.read_text().splitlines()


def _name(handle: asyncio.Handle) -> str:
    """Name the coroutine of a callback and those that it waits for now."""
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    if not isinstance(task, asyncio.Task):
        return repr(handle)[:120]
    names: list[str] = []
    waits: Any = task.get_coro()
    while waits is not None and hasattr(waits, "__qualname__"):
        names.append(waits.__qualname__)
        waits = getattr(waits, "cr_await", None)
    return " > ".join(names)


def watch(file: Path) -> None:
    """Time every callback, and write the longest when the process ends."""
    run = asyncio.events.Handle._run
    longest: list[tuple[float, str]] = []

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        took_s = time.thread_time() - began
        if len(longest) < KEPT or took_s > longest[0][0]:
            (heapq.heappush if len(longest) < KEPT else heapq.heapreplace)(longest, (took_s, _name(handle)))

    asyncio.events.Handle._run = timed  # type: ignore[assignment,method-assign]
    signal.signal(signal.SIGUSR1, lambda *_: longest.clear())
    try:
        from bellhop.cli import main  # noqa: PLC0415

        main(["worker"], standalone_mode=False)
    finally:
        lines = [f"{took_s * 1000:.1f} ms {what}" for took_s, what in sorted(longest, reverse=True)]
        file.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    watch(Path(sys.argv[1]))
