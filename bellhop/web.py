"""`bellhop web`: the Flask application under granian."""

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from worker.settings import Settings

BACKLOG = 1024


def serve(settings: Settings) -> None:
    """Serve until told to stop. Each process reads the settings again by itself (web_process.py)."""
    Granian(
        "bellhop.web_process:app",
        address=settings.web_host,
        port=settings.web_port,
        interface=Interfaces.WSGI,
        workers=settings.web_processes,
        # Granian's own default follows the backlog: dozens of threads that fight over the interpreter lock.
        blocking_threads=settings.web_threads,
        backlog=BACKLOG,
        log_level=LogLevels.error,  # its warnings are hints on thread counts
        respawn_failed_workers=True,
    ).serve()
