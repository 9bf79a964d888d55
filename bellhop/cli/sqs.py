"""`bellhop sqs`: receive the events that Stream puts into queues of Amazon SQS."""

import sys

import click

from bellhop.cli.options import load_settings
from bellhop.settings import warn_of_removed_settings
from bellhop.telemetry import logs


@click.command("sqs")
def command() -> None:
    """Receive Stream's events from an Amazon SQS queue.

    Runs beside the web process, or instead of it. Needs the extra `aws` (docs/sqs.md).
    """
    settings = load_settings("sqs")
    logs.configure(settings.log_format, settings.log_level)
    warn_of_removed_settings()
    from webhook.sources.amazon.sqs import run  # noqa: PLC0415 - see tests/test_architecture.py

    sys.exit(run(settings))
