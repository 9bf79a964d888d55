"""A worker that reports which callbacks of its event loop took longest: python -m bench.watched_worker FILE

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
from typing import Any

from bellhop.sandbox.child_process import end_with_parent
from bellhop.sandbox.installation import Installation

KEPT = 5
STARTS_S = 3.0


class WatchedWorker:
    """Runs such a worker beside an installation."""

    def __init__(self, here: Installation) -> None:
        self._here, self._file = here, here.folder / "callbacks.txt"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, in place of the installation's own."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.watched_worker", str(self._file)],
            env=self._here.environment(),
            preexec_fn=end_with_parent,  # noqa: PLW1509
            stdout=(self._here.folder / "watched.log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        while not self._file.exists():
            await asyncio.sleep(0.1)
        await asyncio.sleep(STARTS_S)

    def forget(self) -> None:
        """Forget the callbacks so far."""
        if self._process:
            self._process.send_signal(signal.SIGUSR1)

    async def stop(self) -> list[str]:
        """Stop it; returns a line for each of its longest callbacks."""
        if self._process is None:
            return []
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)
        return self._file.read_text().splitlines()


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
    run_once, longest_turn = asyncio.BaseEventLoop._run_once, [0.0]  # type: ignore[attr-defined]

    def timed_turn(loop: asyncio.BaseEventLoop) -> None:
        began = time.thread_time()
        run_once(loop)
        longest_turn[0] = max(longest_turn[0], time.thread_time() - began)

    def forget(*_: object) -> None:
        longest.clear()
        longest_turn[0] = 0.0

    asyncio.BaseEventLoop._run_once = timed_turn  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, forget)
    file.touch()
    try:
        from bellhop.cli import main  # noqa: PLC0415

        main(["worker"], standalone_mode=False)
    finally:
        lines = [f"{longest_turn[0] * 1000:.1f} ms the longest turn, of all callbacks that were due together"]
        lines += [f"{took_s * 1000:.1f} ms {what}" for took_s, what in sorted(longest, reverse=True)]
        file.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    watch(Path(sys.argv[1]))
