"""Runs stand-ins in another process, so that the CPU time of this process is that of the client alone."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

Serve = Callable[[Path], Coroutine[None, None, None]]
"""Runs the stand-ins, with their files in a folder."""
Measure = Callable[[Path, str, int], None]
"""Measures with the folder, the line that `serving` printed, and the number of rounds."""


def run_part(module: str, serve: Serve, measure: Measure, rounds: int) -> None:
    """Serve if the command is `python -m module serve FOLDER`; measure if it is `python -m module [ROUNDS]`."""
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else rounds
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", module, "serve", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                measure(Path(folder), server.stdout.readline().strip(), rounds)
            finally:
                server.terminate()


async def serving(line: str) -> None:
    """Print what the client must know about the stand-ins, and wait until `run_part` ends this process."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(line, flush=True)
    await stopped.wait()
