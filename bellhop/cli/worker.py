"""`bellhop worker`: run a worker."""

import sys

import click

from bellhop.cli.options import load_settings, require_own_package
from bellhop.settings import credentials_twice, warn_of_removed_settings, warn_of_soon_refused
from bellhop.telemetry import logs


@click.command("worker")
def command() -> None:
    """Send the queued pushes and e-mails.

    Connects to Apple, Google and the mail server. You can run several workers with the same Redis.
    """
    require_own_package("worker")
    settings = load_settings("worker")
    logs.configure(settings.log_format, settings.log_level)
    warn_of_removed_settings()
    warn_of_soon_refused(credentials_twice(settings))
    from worker.main import run  # noqa: PLC0415 - see tests/test_architecture.py

    sys.exit(run(settings))
